package verb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"quorate/internal/job"
	"quorate/internal/pyvalue"
	"quorate/internal/yaml11"
)

func cachefileVerb() *Verb {
	d := oneWord("CACHEFILE", "one PATH", "cachefile",
		"Load a YAML or JSON file of the host into its arguments.",
		"CACHEFILE: /etc/shop/values.yaml")
	d.Memory = true
	return &Verb{Run: cachefileJob, memory: true, Check: rehearsed(cachefileJob), Decl: d}
}

// oneWord declares a verb that takes a single word and no options of its own.
func oneWord(verb, text, key, summary, example string) job.Declaration {
	return job.Declaration{
		Verb:         verb,
		Summary:      summary,
		Example:      example,
		Text:         text,
		Positional:   job.Words,
		WordsMin:     1,
		WordsMax:     1,
		Idempotent:   true,
		Executable:   true,
		HasCheckMode: true,
		FingerprintKeys: func(p *job.Parsed) []job.Field {
			return []job.Field{textField(key, p.Job.Text)}
		},
	}
}

// cachefileBytesMax is the size of the largest file that is loaded.
const cachefileBytesMax = 16 << 20

func cachefileJob(ctx context.Context, env *Env, j *job.Job) Result {
	text, err := env.render(ctx, j.Text)
	if err != nil {
		return unrendered(err)
	}
	values, err := loadFile(env.path(text))
	if err != nil {
		return failed("%v", err)
	}
	changed, err := env.Facts.Load(values, env.Provenance)
	if err != nil {
		return failed("%v", err)
	}
	return succeeded(changed, fmt.Sprintf("%d values of %s added to cache", values.Len(), text))
}

// loadFile reads a file that holds one mapping, or nothing.
func loadFile(path string) (*pyvalue.Dict, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, cachefileBytesMax+1))
	if err != nil {
		return nil, err
	}
	if len(data) > cachefileBytesMax {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, cachefileBytesMax)
	}
	docs, err := yaml11.Parse(path, data)
	if err != nil {
		return nil, err
	}
	switch {
	case len(docs) == 0 || len(docs) == 1 && docs[0].IsNull():
		return pyvalue.NewDict(), nil
	case len(docs) > 1:
		return nil, fmt.Errorf("%s holds %d documents and not one", path, len(docs))
	case docs[0].Kind != yaml11.Mapping:
		return nil, fmt.Errorf("%s:%d:%d: a mapping is needed at the top", path, docs[0].Line, docs[0].Column)
	}
	budget := valuesMax
	v, err := fromYAML(docs[0], &budget)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return v.(*pyvalue.Dict), nil
}

// valuesMax bounds how many values a file may hold, aliases resolved.
const valuesMax = 2_000_000

var errValues = errors.New("the file holds too many values")

// fromYAML gives a node the value that PyYAML gives it. Keys become text, since
// templates could not name others.
func fromYAML(n *yaml11.Node, budget *int) (pyvalue.Value, error) {
	if *budget--; *budget < 0 {
		return nil, errValues
	}
	switch n.Kind {
	case yaml11.Mapping:
		out := pyvalue.NewDict()
		for _, p := range n.Pairs {
			k, err := fromYAML(p.Key, budget)
			if err != nil {
				return nil, err
			}
			v, err := fromYAML(p.Value, budget)
			if err != nil {
				return nil, err
			}
			out.SetStr(pyvalue.Key(k), v)
		}
		return out, nil
	case yaml11.Sequence:
		out := pyvalue.NewList()
		for _, item := range n.Items {
			v, err := fromYAML(item, budget)
			if err != nil {
				return nil, err
			}
			out.Items = append(out.Items, v)
		}
		return out, nil
	}
	return scalar(n), nil
}

func scalar(n *yaml11.Node) pyvalue.Value {
	if n.IsNull() {
		return pyvalue.None
	}
	if b, ok := n.Bool(); ok {
		return pyvalue.Bool(b)
	}
	if i, ok := n.BigInt(); ok {
		return pyvalue.FromBig(i)
	}
	if f, ok := n.Float(); ok {
		return pyvalue.Float(f)
	}
	if m, ok := n.Moment(); ok {
		return pyvalue.Str(moment(m))
	}
	return pyvalue.Str(n.Text)
}

// moment is a date or time as Python prints it, since a template can only print it.
func moment(m yaml11.Moment) string {
	layout := "2006-01-02 15:04:05"
	switch {
	case m.DateOnly:
		return m.Format("2006-01-02")
	case m.Nanosecond() >= 1000:
		layout += ".000000"
	}
	if m.Zoned {
		layout += "-07:00"
	}
	return m.Format(layout)
}
