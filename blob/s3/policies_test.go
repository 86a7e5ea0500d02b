package s3store_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"coldstream/blob"
	s3store "coldstream/blob/s3"
	"coldstream/blob/storetest"
	"coldstream/internal/awscreds"
)

type policy struct {
	Version   string           `json:"Version"`
	Statement []map[string]any `json:"Statement"`
}

// policyOf reads a policy of deploy/policies for one user of a bucket. Conditions are left
// out: the server knows none.
func policyOf(t *testing.T, job, bucket, prefix string) []map[string]any {
	t.Helper()
	text, err := os.ReadFile("../../deploy/policies/s3-" + job + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var p policy
	if err := json.Unmarshal([]byte(strings.NewReplacer("BUCKET", bucket, "PREFIX", prefix).Replace(string(text))), &p); err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Statement {
		delete(s, "Condition")
		s["Sid"] = job + s["Sid"].(string)
		s["Principal"] = map[string]any{"AWS": []string{job}}
	}
	return p.Statement
}

// TestPolicies proves of each job's policy that it allows what the job does, and nothing
// that another job does.
func TestPolicies(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server: run without -short")
	}
	s := storetest.Versitygw(t)
	all := policy{Version: "2012-10-17"}
	jobs := []string{"writer", "reader", "keeper"}
	for _, job := range jobs {
		s.AddUser(t, job)
		all.Statement = append(all.Statement, policyOf(t, job, s.Bucket, "vault")...)
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Admin.SetBucketPolicy(t.Context(), s.Bucket, string(text)); err != nil {
		t.Fatal(err)
	}
	admin := open(t, s, func(o *s3store.Options) { o.Prefix = "vault" })
	for _, key := range []string{"old/writer", "old/reader", "old/keeper"} {
		if err := admin.Create(t.Context(), key, []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	for _, job := range jobs {
		t.Run(job, func(t *testing.T) {
			mayCreate, mayDelete := job != "reader", job == "keeper"
			store := openAs(t, s, job, "vault")
			judge(t, "create", store.Create(t.Context(), "new/"+job, nil), mayCreate)
			judge(t, "delete", store.Delete(t.Context(), "old/"+job), mayDelete)
			_, err := store.Read(t.Context(), "old/writer", 0, 3)
			judge(t, "read", err, true)
			for _, err := range store.List(t.Context(), "old/", "") {
				judge(t, "list", err, true)
			}
			elsewhere := openAs(t, s, job, "elsewhere")
			judge(t, "create elsewhere", elsewhere.Create(t.Context(), "new/"+job, nil), false)
		})
	}
}

func openAs(t *testing.T, s *storetest.S3, user, prefix string) *s3store.Store {
	t.Helper()
	s.Setenv(t)
	t.Setenv("AWS_ACCESS_KEY_ID", user)
	found, err := awscreds.Find(t.Context(), awscreds.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := s3store.Open(s3store.Options{Bucket: s.Bucket, Prefix: prefix, Endpoint: s.Endpoint, Region: storetest.Region, Credentials: found})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func judge(t *testing.T, what string, err error, allowed bool) {
	t.Helper()
	var failure *blob.Failure
	switch {
	case allowed && err != nil:
		t.Errorf("%s: %v, want that it is allowed", what, err)
	case !allowed && (!errors.Is(err, fs.ErrPermission) || !errors.As(err, &failure) || !strings.Contains(failure.Hint(), `"Effect":"Allow"`)):
		t.Errorf("%s: %v, want fs.ErrPermission with the line that a policy lacks", what, err)
	}
}
