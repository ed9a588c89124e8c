package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/internal/config"
)

// pair makes a certificate and its key, as files hold them.
func pair(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, of, of, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func TestACertificateReplacedOnDiskIsTaken(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func(cert, key []byte) {
		t.Helper()
		for file, raw := range map[string][]byte{certFile: cert, keyFile: key} {
			if err := os.WriteFile(file, raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(pair(t, 1))
	yaml := fmt.Sprintf("data_dir: %s\nproxy: {addr: 127.0.0.1:0, tls: {cert_file: %s, key_file: %s}}\nadmin: {addr: 127.0.0.1:0}\nkafka: {brokers: [127.0.0.1:1]}\n", filepath.Join(dir, "data"), certFile, keyFile)
	file := filepath.Join(dir, "gnomon.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func() (*config.Config, error) { return config.Load(config.Options{File: file, Environ: []string{}}) }
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	n, err := newNode(c, roles{proxy: true}, slog.New(slog.NewTextHandler(&out, nil)), nodeOptions{load: load, configFile: file, look: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(out.Bytes(), []byte("ends soon")) { // within the hour
		t.Errorf("nothing is said of a certificate that ends soon: %s", out.String())
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.run(ctx) }()
	defer func() { stop(); <-done }()
	shown := func() int64 {
		conn, err := tls.Dial("tcp", n.proxyLn.Addr().String(), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) //nolint:gosec // which one is looked at
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("waited 10 s until %s; certificate %d is shown", what, shown())
			}
		}
	}
	if shown() != 1 {
		t.Error("the first certificate is not shown")
	}
	cert, key := pair(t, 2)
	write(cert, []byte("half a key"))
	until("a key that does not fit is an alarm", n.reloadFailed.Load)
	if shown() != 1 {
		t.Error("the first certificate does not stay")
	}
	write(cert, key)
	until("the second certificate is shown", func() bool { return shown() == 2 })
	until("the alarm is over", func() bool { return !n.reloadFailed.Load() })
	if err := os.WriteFile(file, []byte("data_dir: "+filepath.Join(dir, "data")+"\nproxy: {addr: 127.0.0.1:0}\nadmin: {addr: 127.0.0.1:0}\nkafka: {brokers: [127.0.0.1:1]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := n.live.Load()
	until("TLS turned off is looked at", func() bool { return n.live.Load() != before })
	if shown() != 2 {
		t.Error("TLS was turned off while it runs")
	}
}
