package storetest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// KMSKey is the name of the key that [SecureMinIO] encrypts with.
const KMSKey = "test-key"

// SecureMinIO starts MinIO with TLS, and with a key to encrypt objects with. The file named is the
// certificate to trust.
func SecureMinIO(tb TB) (s *S3, caFile string) {
	tb.Helper()
	p := start(tb, program{"minio", func(ctx context.Context, dir, addr string) (*exec.Cmd, error) {
		certs, err := subfolder(dir, "certs")
		if err == nil {
			err = writeCertificate(certs)
		}
		if err != nil {
			return nil, err
		}
		cmd, err := minioCommand(ctx, dir, addr)
		if err != nil {
			return nil, err
		}
		cmd.Args = append(cmd.Args, "--certs-dir", certs)
		cmd.Env = append(cmd.Env, "MINIO_KMS_SECRET_KEY="+KMSKey+":"+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)))
		return cmd, nil
	}})
	caFile = filepath.Join(p.dir, "certs", "public.crt")
	roots := x509.NewCertPool()
	certificate, err := os.ReadFile(caFile)
	if err == nil && !roots.AppendCertsFromPEM(certificate) {
		err = errors.New("it is no certificate")
	}
	if err != nil {
		tb.Fatalf("read %s: %v", caFile, err)
	}
	s, err = p.s3(&minio.Options{
		Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Region: Region, Secure: true,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
	})
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return s, caFile
}

// writeCertificate makes a certificate for this host, and its key, as MinIO wants them.
func writeCertificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now() //nolint:forbidigo // certificates are valid by the real clock
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{
		"public.crt": {Type: "CERTIFICATE", Bytes: certificate}, "private.key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return fmt.Errorf("certificate of a server: %w", err)
		}
	}
	return nil
}
