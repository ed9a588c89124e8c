package embedded

import (
	"debug/elf"
	"debug/macho"
	"fmt"
	"runtime"
)

// checkKind refuses what is no shared library for this machine, before a loader
// says so in its own words or crashes.
func checkKind(path string) error {
	if runtime.GOOS == "darwin" {
		if f, err := macho.Open(path); err == nil {
			defer func() { _ = f.Close() }()
			if want := map[string]macho.Cpu{"amd64": macho.CpuAmd64, "arm64": macho.CpuArm64}[runtime.GOARCH]; f.Cpu != want {
				return fmt.Errorf("%s is a library for %v, and this machine is %s", path, f.Cpu, runtime.GOARCH)
			}
			return nil
		}
		if f, err := macho.OpenFat(path); err == nil {
			return f.Close()
		}
		return fmt.Errorf("%s is no shared library", path)
	}
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s is no shared library: %w", path, err)
	}
	defer func() { _ = f.Close() }()
	if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]; f.Machine != want {
		return fmt.Errorf("%s is a library for %v, and this machine is %s", path, f.Machine, runtime.GOARCH)
	}
	if f.Type != elf.ET_DYN {
		return fmt.Errorf("%s is no shared library (%v)", path, f.Type)
	}
	return nil
}
