package cli

import (
	"reflect"
	"strings"
	"testing"
)

func TestReadOldLine(t *testing.T) {
	for text, want := range map[string]oldLine{
		"orchestrate a.yaml b.yaml --target n1 n2 --poll": {command: "orchestrate", words: []string{"a.yaml", "b.yaml"},
			options: map[string][]string{"target": {"n1", "n2"}, "poll": {}}},
		"orchestrate a --restrict=f1 --restrict f2 f3 --ign": {command: "orchestrate", words: []string{"a"},
			options: map[string][]string{"restrict": {"f1", "f2", "f3"}, "ignore-cache": {}}},
		"exec --verb RUN --target n1 -- --odd text": {command: "exec", words: []string{"--odd", "text"},
			options: map[string][]string{"verb": {"RUN"}, "target": {"n1"}}},
		"--debug --zmq-shared-key s --grpc-ssl --job-port=5 manage --list-nodes": {command: "manage",
			globals: map[string]string{"debug": "", "zmq-shared-key": "s", "grpc-ssl": "", "job-port": "5"},
			options: map[string][]string{"list-nodes": {}}},
		"--grpc-ssl manage --job-info last --filter failed": {command: "manage", globals: map[string]string{"grpc-ssl": ""},
			options: map[string][]string{"job-info": {"last"}, "filter": {"failed"}}},
		"server --anything goes":          {command: "server"},
		"orchestrate a --target n1,n2 n3": {command: "orchestrate", words: []string{"a"}, options: map[string][]string{"target": {"n1", "n2", "n3"}}},
		"exec --verb RUN --exec-help":     {command: "exec", options: map[string][]string{"verb": {"RUN"}, "exec-help": {}}},
		"orchestrate --poll --help":       {command: "orchestrate", globals: map[string]string{"help": ""}, options: map[string][]string{"poll": {}}},
	} {
		got, err := readOldLine(strings.Fields(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if want.globals == nil {
			want.globals = map[string]string{}
		}
		if want.options == nil {
			want.options = map[string][]string{}
		}
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("%s:\n%+v, want\n%+v", text, *got, want)
		}
	}
	// Text of one word of the shell may begin with an option of the verb.
	got, err := readOldLine([]string{"exec", "--verb", "RUN", "--skip-cache echo hi"})
	if err != nil || !reflect.DeepEqual(got.words, []string{"--skip-cache echo hi"}) {
		t.Errorf("%+v, %v", got, err)
	}
	// A text behind a list of hosts is none of them.
	got, err = readOldLine([]string{"exec", "--verb", "RUN", "--target", "n1", "echo hi", "there"})
	if err != nil || !reflect.DeepEqual(got.words, []string{"echo hi", "there"}) || !reflect.DeepEqual(got.options["target"], []string{"n1"}) {
		t.Errorf("%+v, %v", got, err)
	}
	for text, want := range map[string]string{
		"manage --list":               "--list may be --list-jobs or --list-nodes",
		"manage --list-jobs x":        `unexpected argument "x"`,
		"orchestrate --target a b":    "missing FILE...",
		"exec --verb":                 "the value of --verb is missing",
		"exec t --verb R --skip-cach": "there is no option --skip-cach",
		"orchestrate a --wait --poll": "--poll and --wait exclude each other",
		"orchestrate a --target ,":    "the value of --target is missing",
		"orchestrate a --target":      "the value of --target is missing",
		"--port 5 manage":             "there is no option --port",
	} {
		if _, err := readOldLine(strings.Fields(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", text, err, want)
		}
	}
}

func TestOldID(t *testing.T) {
	for text, ok := range map[string]bool{"7": true, "7/a-b": true, "7/a/0": true, "0/a": false, "x": false, "": false, "7/a/b": false, "7/a/b/1": false} {
		run, task, index, good := oldID(text)
		if good != ok || ok && (run != "7" || (index != nil) != strings.HasSuffix(text, "/0") || strings.Contains(task, "/")) {
			t.Errorf("%q is %q %q %v %v", text, run, task, index, good)
		}
	}
}
