package storetest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"coldstream/internal/testproc"
)

// The account that Azurite has.
const (
	AzureAccount = "devstoreaccount1"
	AzureKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// Azure is a server of the protocol of Azure Blob Storage. It has no container at first.
type Azure struct {
	Endpoint         string // of the account
	ConnectionString string
}

// Azurite starts Microsoft's emulator. It needs Node.
func Azurite(tb TB) *Azure {
	tb.Helper()
	p := start(tb, program{"azurite", func(ctx context.Context, dir, addr string) (*exec.Cmd, error) {
		folder, err := testproc.NpmInstall(ctx, "azurite", "3.37.0")
		if err != nil {
			return nil, err
		}
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return exec.Command("node", filepath.Join(folder, "node_modules/.bin/azurite-blob"), "--blobHost", host, "--blobPort", port,
			"--location", dir, "--silent", "--skipApiVersionCheck", "--disableTelemetry"), nil
	}})
	endpoint := "http://" + p.addr + "/" + AzureAccount
	return &Azure{Endpoint: endpoint, ConnectionString: fmt.Sprintf(
		"DefaultEndpointsProtocol=http;AccountName=%s;AccountKey=%s;BlobEndpoint=%s;", AzureAccount, AzureKey, endpoint)}
}

// MakeContainer makes a container.
func (a *Azure) MakeContainer(tb TB, name string) {
	tb.Helper()
	client, err := container.NewClientFromConnectionString(a.ConnectionString, name, nil)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), startPatience)
		defer cancel()
		_, err = client.Create(ctx, nil)
	}
	if err != nil {
		tb.Fatalf("make container %s: %v", name, err)
	}
}

// GCS is a server of the protocol of Google Cloud Storage with one bucket.
type GCS struct {
	Endpoint string
	Bucket   string
	// Dir has the objects as files.
	Dir string
}

// FakeGCS starts fake-gcs-server.
func FakeGCS(tb TB) *GCS {
	tb.Helper()
	p := start(tb, program{"fake-gcs-server", func(ctx context.Context, dir, addr string) (*exec.Cmd, error) {
		path, err := testproc.GoInstall(ctx, testproc.GoProgram{Package: "github.com/fsouza/fake-gcs-server", Version: "v1.56.1"})
		if err != nil {
			return nil, err
		}
		objects, err := subfolder(dir, "objects")
		if err != nil {
			return nil, err
		}
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return exec.Command(path, "-scheme", "http", "-host", host, "-port", port, "-backend", "filesystem",
			"-filesystem-root", objects, "-public-host", addr), nil
	}})
	g := &GCS{Endpoint: "http://" + p.addr, Bucket: "vaults"}
	g.Dir = filepath.Join(p.dir, "objects", g.Bucket)
	client := http.Client{Timeout: startPatience}
	answer, err := client.Post(g.Endpoint+"/storage/v1/b?project=test", "application/json", strings.NewReader(`{"name":"vaults"}`))
	if err != nil {
		tb.Fatalf("make bucket: %v\n%s", err, p.log())
		return nil
	}
	defer answer.Body.Close() //nolint:errcheck // the status is what counts
	if answer.StatusCode != http.StatusOK {
		tb.Fatalf("make bucket: %s\n%s", answer.Status, p.log())
	}
	return g
}

// Setenv sends clients to the emulator.
func (g *GCS) Setenv(tb TB) {
	tb.Helper()
	tb.Setenv("STORAGE_EMULATOR_HOST", g.Endpoint)
}
