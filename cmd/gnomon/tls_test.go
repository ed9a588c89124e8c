package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
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
	file := newFile(t)
	certFile, keyFile := file.beside("cert.pem"), file.beside("key.pem")
	write := func(cert, key []byte) {
		t.Helper()
		writeFile(t, certFile, cert)
		writeFile(t, keyFile, key)
	}
	write(pair(t, 1))
	file.write(t, file.base()+fmt.Sprintf("proxy: {addr: 127.0.0.1:0, tls: {cert_file: %s, key_file: %s}}\n", certFile, keyFile))
	var out said
	n := file.node(t, &out)
	if !strings.Contains(out.String(), "ends soon") { // within the hour
		t.Errorf("nothing is said of a certificate that ends soon: %s", out.String())
	}
	shown := func() int64 {
		conn, err := tls.Dial("tcp", n.proxyLn.Addr().String(), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) //nolint:gosec // which one is looked at
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if shown() != 1 {
		t.Error("the first certificate is not shown")
	}
	cert, key := pair(t, 2)
	write(cert, []byte("half a key"))
	until(t, "a key that does not fit is an alarm", n.reloadFailed.Load)
	if shown() != 1 {
		t.Error("the first certificate does not stay")
	}
	write(cert, key)
	until(t, "the second certificate is shown", func() bool { return shown() == 2 })
	until(t, "the alarm is over", func() bool { return !n.reloadFailed.Load() })
	before := n.live.Load()
	file.write(t, file.base()+"proxy: {addr: 127.0.0.1:0}\n")
	until(t, "TLS turned off is looked at", func() bool { return n.live.Load() != before })
	if shown() != 2 {
		t.Error("TLS was turned off while it runs")
	}
}
