package cli

import (
	"context"
	"fmt"
	"io"
	"testing"

	"quorate/nodeagent/verb"
	"quorate/planner"
)

// TestNarrowedPlansAreMadeAgain: of a plan that was narrowed the options are found that
// make it again, also of one from before plans marked what is left out.
func TestNarrowedPlansAreMadeAgain(t *testing.T) {
	t.Parallel()
	const shop = "../testdata/shop/"
	src := planner.Sources{Services: shop + "services", Inventory: shop + "inventory.yaml", Roles: shop + "roles.yaml"}
	opt := planner.Options{Verbs: verb.Lookup, Limit: []string{"app-1"}}
	made := compile(src, opt)
	if made.plan == nil {
		t.Fatal(made.diagnostics)
	}
	contents := map[string][]byte{}
	for _, b := range made.blobs() {
		r, err := b.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		contents[b.Digest] = data
	}
	before := made.plan.Unmarked()
	if before.ID() == made.plan.ID() {
		t.Fatal("nothing is marked in a plan of one of several hosts")
	}
	contents[before.ID()] = before.Encode()
	read := func(_ context.Context, digest string) ([]byte, error) {
		if data, ok := contents[digest]; ok {
			return data, nil
		}
		return nil, fmt.Errorf("no blob %s", digest)
	}
	for name, plan := range map[string]*planner.Plan{"marked": made.plan, "from before": before} {
		stored, err := openStored(t.Context(), read, plan.ID())
		if err != nil {
			t.Fatal(err)
		}
		again, with, found, err := stored.again()
		if err != nil || !found || again.plan.ID() != plan.ID() || len(with.Limit) != 1 || with.Limit[0] != "app-1" {
			t.Errorf("%s: found %v, with %+v: %v", name, found, with, err)
		}
	}
}
