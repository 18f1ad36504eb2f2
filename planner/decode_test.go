package planner_test

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"quorate/internal/job"
	"quorate/planner"
)

type jobOption = job.Option

// samplePlan has something in every field.
func samplePlan() *planner.Plan {
	digest := strings.Repeat("ab", 32)
	at := planner.Pos{File: "a.yaml", Line: 3, Column: 70000}
	return &planner.Plan{
		Format: planner.FormatVersion, PlannerVersion: planner.Version,
		Hosts: []string{"h2", "h1"}, HostSets: [][]uint32{{0, 1}, {1}},
		Tasks: []planner.Task{
			{ID: "a-t", Service: "a", Name: "t", Action: "init", Driver: planner.DriverDirectord, Provides: []string{"x", "a"},
				Jobs: []planner.Job{
					{Spec: job.Job{Index: 0, Verb: "RUN", Name: "n", Text: "echo é", Options: []job.Option{{Name: "retry", Value: "3"}, {Name: "stdout-arg", Value: "v"}},
						TimeoutSeconds: 600, SkipCache: true, SuccessExits: []int32{-1, 0, 300}, Fingerprint: "f0"}, HostSet: 0, Source: at},
					{Spec: job.Job{Index: 5, Verb: "ADD", Text: "a b", Files: []job.File{{Name: "a", Digest: digest, Size: 1 << 40, Mode: 0o755}}}, HostSet: 1, Source: at},
				}, Idempotent: true, Source: at},
			{ID: "b-t", Service: "b", Name: "t", Driver: planner.DriverPrint, HostSet: 1, Requires: []planner.Dep{{Task: 0, Scope: planner.ScopeSameHost}}, Symbols: []string{"a", "x"},
				Messages: []string{"hello", ""}, Always: true, KeepGoing: true},
			{ID: "a-last", Service: "a", Name: "last", Driver: planner.DriverNoop, HostSet: 1, Requires: []planner.Dep{{Task: 0}, {Task: 1}}},
		},
		Vars:   []job.Option{{Name: "v", Value: "1"}},
		Inputs: []planner.Input{{Role: planner.RoleFile, Name: "a", Digest: digest, Size: 0}, {Role: planner.RoleService, Name: "a.yaml", Digest: digest, Size: 9}},
	}
}

// TestEncodingHoldsEveryField fails when a field is added to a struct and not to
// the codec.
func TestEncodingHoldsEveryField(t *testing.T) {
	plan := samplePlan()
	plan.Tasks[0].Partial, plan.Tasks[1].Narrowed = true, true
	again, err := planner.Decode(plan.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(plan, again) {
		t.Errorf("the plan came back as\n%+v\nwant\n%+v", again, plan)
	}
	seen := map[string]bool{}
	nonZero(reflect.ValueOf(*plan), "Plan", seen)
	for path, set := range seen {
		if !set {
			t.Errorf("the sample leaves %s empty: the test does not see it", path)
		}
	}
}

// nonZero records for each field of a value whether any instance of it is set.
func nonZero(v reflect.Value, path string, seen map[string]bool) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				nonZero(v.Field(i), v.Type().Name()+"."+f.Name, seen)
			}
		}
	case reflect.Slice:
		seen[path] = seen[path] || v.Len() > 0
		for i := range v.Len() {
			nonZero(v.Index(i), path+"[]", seen)
		}
	default:
		seen[path] = seen[path] || !v.IsZero()
	}
}

// TestGoldenPlan pins the encoding: a plan's id must not change by accident.
func TestGoldenPlan(t *testing.T) {
	const want = "9f534e257b2984e7498328ed50005b8d9e96fd7650206a1a6ff671ee8ad733ae"
	if got := samplePlan().ID(); got != want {
		t.Errorf("the sample's id is %s, want %s: plans on record would no longer be found", got, want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	cases := []struct {
		name   string
		damage func(p *planner.Plan)
	}{
		{"another format", func(p *planner.Plan) { p.Format = 99 }},
		{"host twice", func(p *planner.Plan) { p.Hosts[1] = "h2" }},
		{"host without name", func(p *planner.Plan) { p.Hosts[1] = "" }},
		{"host set out of bounds", func(p *planner.Plan) { p.HostSets[0][1] = 2 }},
		{"host set unsorted", func(p *planner.Plan) { p.HostSets[0] = []uint32{1, 0} }},
		{"host set twice", func(p *planner.Plan) { p.HostSets[1] = []uint32{0, 1} }},
		{"task's host set out of bounds", func(p *planner.Plan) { p.Tasks[1].HostSet = 2 }},
		{"job's host set out of bounds", func(p *planner.Plan) { p.Tasks[0].Jobs[0].HostSet = 1 << 31 }},
		{"jobs without hosts", func(p *planner.Plan) { p.HostSets[0] = nil; p.HostSets[1] = []uint32{0} }},
		{"task twice", func(p *planner.Plan) { p.Tasks[1].ID = "a-t" }},
		{"task without id", func(p *planner.Plan) { p.Tasks[1].ID = "" }},
		{"unknown driver", func(p *planner.Plan) { p.Tasks[1].Driver = "magic" }},
		{"print with jobs", func(p *planner.Plan) { p.Tasks[1].Jobs = p.Tasks[0].Jobs }},
		{"local with two jobs", func(p *planner.Plan) { p.Tasks[0].Driver = planner.DriverLocal }},
		{"requires itself", func(p *planner.Plan) { p.Tasks[1].Requires[0].Task = 1 }},
		{"requires what is out of bounds", func(p *planner.Plan) { p.Tasks[0].Requires = []planner.Dep{{Task: 7}} }},
		{"requires twice", func(p *planner.Plan) { p.Tasks[1].Requires = []planner.Dep{{Task: 0}, {Task: 0}} }},
		{"unknown scope", func(p *planner.Plan) { p.Tasks[1].Requires[0].Scope = 3 }},
		{"symbols unsorted", func(p *planner.Plan) { p.Tasks[1].Symbols = []string{"x", "a"} }},
		{"tasks out of order", func(p *planner.Plan) {
			p.Tasks[1].Requires = nil
			slices.Reverse(p.Tasks[:2])
		}},
		{"job indexes out of order", func(p *planner.Plan) { p.Tasks[0].Jobs[1].Spec.Index = 0 }},
		{"verb in lower case", func(p *planner.Plan) { p.Tasks[0].Jobs[0].Spec.Verb = "run" }},
		{"options unsorted", func(p *planner.Plan) { slices.Reverse(p.Tasks[0].Jobs[0].Spec.Options) }},
		{"exit codes unsorted", func(p *planner.Plan) { slices.Reverse(p.Tasks[0].Jobs[0].Spec.SuccessExits) }},
		{"file name that climbs", func(p *planner.Plan) { p.Tasks[0].Jobs[1].Spec.Files[0].Name = ".." }},
		{"file name with a slash", func(p *planner.Plan) { p.Tasks[0].Jobs[1].Spec.Files[0].Name = "a/b" }},
		{"file without digest", func(p *planner.Plan) { p.Tasks[0].Jobs[1].Spec.Files[0].Digest = "x" }},
		{"file of negative size", func(p *planner.Plan) { p.Tasks[0].Jobs[1].Spec.Files[0].Size = -1 }},
		{"file with a strange mode", func(p *planner.Plan) { p.Tasks[0].Jobs[1].Spec.Files[0].Mode = 1 << 20 }},
		{"var without name", func(p *planner.Plan) { p.Vars[0].Name = "" }},
		{"inputs unsorted", func(p *planner.Plan) { slices.Reverse(p.Inputs) }},
		{"unknown role", func(p *planner.Plan) { p.Inputs[0].Role = "spell" }},
		{"input without digest", func(p *planner.Plan) { p.Inputs[0].Digest = strings.Repeat("AB", 32) }},
	}
	for _, c := range cases {
		p := samplePlan()
		c.damage(p)
		if _, err := planner.Decode(p.Encode()); !errors.Is(err, planner.ErrPlan) {
			t.Errorf("%s: error is %v, want ErrPlan", c.name, err)
		}
	}
}

func TestDecodeRefusesBytes(t *testing.T) {
	good := samplePlan().Encode()
	for i := range good {
		if _, err := planner.Decode(good[:i]); !errors.Is(err, planner.ErrPlan) {
			t.Fatalf("the first %d bytes are taken for a plan: %v", i, err)
		}
	}
	for name, data := range map[string][]byte{
		"longer":           append(slices.Clone(good), 0),
		"long integer":     slices.Concat(good[:1], []byte{0xcc, planner.FormatVersion}, good[2:]),
		"nil for a list":   bytes.Replace(good, []byte{0xa2, 'f', '0'}, []byte{0xc0}, 1),
		"a list of 4G":     slices.Concat(good[:2], []byte{0xa1, '1', 0xdd, 0xff, 0xff, 0xff, 0xff}),
		"a text of 4G":     slices.Concat(good[:2], []byte{0xdb, 0xff, 0xff, 0xff, 0xff}),
		"map for an array": {0x87},
		"too large":        make([]byte, planner.PlanBytesMax+1),
	} {
		if _, err := planner.Decode(data); !errors.Is(err, planner.ErrPlan) {
			t.Errorf("%s: error is %v, want ErrPlan", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(samplePlan().Encode())
	f.Add((&planner.Plan{Format: planner.FormatVersion}).Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := planner.Decode(data)
		if err != nil {
			if !errors.Is(err, planner.ErrPlan) {
				t.Fatalf("error %v is not ErrPlan", err)
			}
			return
		}
		if !bytes.Equal(p.Encode(), data) {
			t.Fatal("two encodings of one plan")
		}
		p.Levels()
		p.CriticalPath()
	})
}
