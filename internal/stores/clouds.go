package stores

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"coldstream/blob"
	azurestore "coldstream/blob/azure"
	gcsstore "coldstream/blob/gcs"
)

func gcsOptions() []string { return []string{"endpoint", "storage_class", "ca_file"} }

type gcsDriver gcsstore.Options

func newGCS(u *bucketURL) (driver, error) {
	d := &gcsDriver{
		Bucket: u.bucket, Prefix: u.prefix,
		Endpoint: u.options.Get("endpoint"), CAFile: u.options.Get("ca_file"),
		StorageClass: u.options.Get("storage_class"), ColdPrefix: coldPrefix,
	}
	if d.StorageClass != "" && !storageClass.MatchString(d.StorageClass) {
		return nil, fmt.Errorf("option storage_class: %q is not written as NEARLINE or COLDLINE is", d.StorageClass)
	}
	// As the official clients do.
	if emulator := u.getenv("STORAGE_EMULATOR_HOST"); emulator != "" && d.Endpoint == "" {
		if !strings.Contains(emulator, "://") {
			emulator = "http://" + emulator
		}
		d.Endpoint, d.Anonymous = emulator, true
	}
	return d, nil
}

func (d *gcsDriver) open(ctx context.Context) (blob.Store, error) {
	return gcsstore.Open(ctx, gcsstore.Options(*d))
}

func azureOptions() []string { return []string{"account", "endpoint", "storage_class", "ca_file"} }

type azureDriver azurestore.Options

var accountName = regexp.MustCompile(`^[a-z0-9]{3,24}$`)

func newAzure(u *bucketURL) (driver, error) {
	d := &azureDriver{
		Container: u.bucket, Prefix: u.prefix,
		Account:  cmp.Or(u.options.Get("account"), u.getenv("AZURE_STORAGE_ACCOUNT")),
		Endpoint: u.options.Get("endpoint"), CAFile: u.options.Get("ca_file"),
		Tier: u.options.Get("storage_class"), ColdPrefix: coldPrefix,
		Login: azurestore.Login{
			ConnectionString: u.getenv("AZURE_STORAGE_CONNECTION_STRING"),
			AccountKey:       u.getenv("AZURE_STORAGE_KEY"),
			SAS:              u.getenv("AZURE_STORAGE_SAS_TOKEN"),
		},
	}
	tiers := []string{"Hot", "Cool", "Cold", "Archive"}
	if d.Tier != "" && !slices.Contains(tiers, d.Tier) {
		return nil, fmt.Errorf("option storage_class: %q is none of %s", d.Tier, strings.Join(tiers, ", "))
	}
	if d.Login.ConnectionString == "" && !accountName.MatchString(d.Account) {
		return nil, fmt.Errorf("option account: %q is not the name of a storage account", d.Account)
	}
	return d, nil
}

func (d *azureDriver) open(context.Context) (blob.Store, error) {
	return azurestore.Open(azurestore.Options(*d))
}
