package pipeline

import (
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go/compress"
)

// windowBytes is how far back a compressor looks. Events are alike: ones of a few
// records before serve as well as those of a megabyte before.
const windowBytes = 128 << 10

// packer is kafka-go's zstd codec with compressors of its own. kafka-go's take 8 MB
// each, for windows that no batch fills, and are made anew after every second garbage
// collection, which they then hasten.
type packer struct {
	compress.Codec // reads, and says its name and code
	idle           chan *zstd.Encoder
}

func init() {
	compress.Codecs[compress.Zstd] = &packer{&compress.ZstdCodec, make(chan *zstd.Encoder, produceAside)}
}

// NewWriter implements compress.Codec. The fastest level: events shrink to about a
// sixth with it, and a proxy has better things to do.
func (p *packer) NewWriter(w io.Writer) io.WriteCloser {
	select {
	case enc := <-p.idle:
		enc.Reset(w)
		return &packing{enc, p}
	default:
	}
	enc, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(windowBytes), zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true))
	if err != nil {
		panic("pipeline: zstd's options: " + err.Error()) // they are constants
	}
	return &packing{enc, p}
}

// packing is one batch that is being compressed.
type packing struct {
	*zstd.Encoder
	p *packer
}

// Close ends the batch and keeps the compressor.
func (w *packing) Close() error {
	err := w.Encoder.Close()
	w.Encoder.Reset(nil) // lets go of where it wrote to
	select {
	case w.p.idle <- w.Encoder:
	default:
	}
	return err
}
