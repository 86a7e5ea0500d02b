//go:build long

package s3store_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"coldstream/blob"
	s3store "coldstream/blob/s3"
	"coldstream/blob/storetest"
	"coldstream/internal/awscreds"
)

// TestPoliciesOfMinIO has each job's policy as it is written, conditions too: it is that of a
// session, which may do what its policy allows and nothing besides.
func TestPoliciesOfMinIO(t *testing.T) {
	s := storetest.MinIO(t)
	admin := open(t, s, func(o *s3store.Options) { o.Prefix = "vault" })
	elsewhere := open(t, s, func(o *s3store.Options) { o.Prefix = "elsewhere" })
	for _, job := range []string{"writer", "reader", "keeper"} {
		t.Run(job, func(t *testing.T) {
			for _, store := range []blob.Store{admin, elsewhere} {
				if err := store.Create(t.Context(), "old/"+job, []byte(job)); err != nil {
					t.Fatal(err)
				}
			}
			found := sessionOf(t, s, job, "vault")
			as := func(prefix string) blob.Store {
				return open(t, s, func(o *s3store.Options) { o.Prefix, o.Credentials = prefix, found })
			}
			mayDo(t, as("vault"), job, "", true, job != "reader", job == "keeper")
			mayDo(t, as("elsewhere"), job, " elsewhere", false, false, false)
		})
	}
}

// mayDo tries each action of a store.
func mayDo(t *testing.T, store blob.Store, job, where string, read, create, remove bool) {
	t.Helper()
	_, err := store.Read(t.Context(), "old/"+job, 0, 3)
	judge(t, "read"+where, err, read)
	_, err = blob.ReadAll(t.Context(), store, "old/"+job, 1<<10)
	judge(t, "open"+where, err, read)
	var listErr error
	for _, err := range store.List(t.Context(), "", "") {
		listErr = err
	}
	judge(t, "list"+where, listErr, read)
	judge(t, "create"+where, store.Create(t.Context(), "new/"+job, nil), create)
	judge(t, "delete"+where, store.Delete(t.Context(), "old/"+job), remove)
}

// sessionOf are credentials that may do what a job's policy says.
func sessionOf(t *testing.T, s *storetest.S3, job, prefix string) *awscreds.Source {
	t.Helper()
	text, err := os.ReadFile("../../deploy/policies/s3-" + job + ".json")
	if err != nil {
		t.Fatal(err)
	}
	policy := strings.NewReplacer("BUCKET", s.Bucket, "PREFIX", prefix).Replace(string(text))
	if !json.Valid([]byte(policy)) {
		t.Fatalf("policy of the %s: %s", job, policy)
	}
	session := s.Session(t, policy)
	found, err := awscreds.Find(t.Context(), awscreds.Options{Static: awscreds.Value{
		AccessKeyID: session["AWS_ACCESS_KEY_ID"], SecretAccessKey: session["AWS_SECRET_ACCESS_KEY"], SessionToken: session["AWS_SESSION_TOKEN"],
	}})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
