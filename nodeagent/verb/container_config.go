package verb

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"quorate/internal/job"
	"quorate/internal/pyvalue"
)

// configFilesMax bounds the files of one CONTAINER_CONFIG_DATA.
const configFilesMax = 4096

func containerConfigDataVerb() *Verb {
	return &Verb{Run: containerConfigDataJob, memory: true, Check: rehearsed(containerConfigDataJob), Decl: job.Declaration{
		Verb: "CONTAINER_CONFIG_DATA", Summary: "Store the JSON files of a directory as container configuration.",
		Example:    "CONTAINER_CONFIG_DATA: --config-path /etc/containers",
		Positional: job.NoWords,
		Options: []job.OptionDecl{
			{Name: "config-path", Kind: job.String, Required: true, Help: "the directory"},
			{Name: "config-pattern", Kind: job.String, Default: "*.json", Help: "the files in it"},
			{Name: "config-overrides", Kind: job.Literal, Help: "a mapping of names to settings to merge, best in vars"},
			{Name: "debug", Kind: job.Flag, Help: "report more"},
		},
		Idempotent: true, Executable: true, HasCheckMode: true,
		FingerprintKeys: func(p *job.Parsed) []job.Field {
			return []job.Field{field("config_path", optional(p, "config-path")), textField("config_pattern", configPattern(&p.Job)),
				field("config_overrides", optional(p, "config-overrides")), flagField("debug", p, "debug")}
		},
	}}
}

func configPattern(j *job.Job) string {
	if text, ok := j.Option("config-pattern"); ok {
		return text
	}
	return "*.json"
}

// containerConfigDataJob executes CONTAINER_CONFIG_DATA. It looks at the files each
// time, because they may have changed. The argument configs holds their contents by
// the names of the files.
func containerConfigDataJob(ctx context.Context, env *Env, j *job.Job) Result {
	options, err := env.renderOptions(ctx, j.Options)
	if err != nil {
		return unrendered(err)
	}
	rendered := *j
	rendered.Options = options
	dir, _ := rendered.Option("config-path")
	configs, err := readConfigs(env.path(dir), configPattern(&rendered))
	if err != nil {
		return failed("%v", err)
	}
	if text, ok := rendered.Option("config-overrides"); ok {
		overrides, ok := pyvalue.Argument(text).(*pyvalue.Dict)
		if !ok {
			return failed("config_overrides is no mapping of names to settings")
		}
		override(configs, overrides)
	}
	_, changed, err := env.Facts.SetArg("configs", configs, false, env.Provenance)
	if err != nil {
		return failed("%v", err)
	}
	stdout := ""
	if isSet(j, "debug") {
		stdout = pyvalue.JSON(configs)
	}
	res := succeeded(changed, stdout)
	res.Info = fmt.Sprintf("%d configurations", configs.Len())
	return res
}

// readConfigs reads the files of a directory, in the order of their names.
func readConfigs(dir, pattern string) (*pyvalue.Dict, error) {
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the pattern %q: %w", pattern, err)
	case len(paths) == 0:
		return nil, fmt.Errorf("no file in %s is like %s", dir, pattern)
	case len(paths) > configFilesMax:
		return nil, fmt.Errorf("%d files are more than %d", len(paths), configFilesMax)
	}
	slices.Sort(paths)
	configs := pyvalue.NewDict()
	for _, path := range paths {
		content, err := loadFile(path)
		if err != nil {
			return nil, err
		}
		configs.SetStr(filepath.Base(path), content)
	}
	return configs, nil
}

// override merges settings into the configurations that they name, with or without
// the ending of the file.
func override(configs, overrides *pyvalue.Dict) {
	for k, settings := range overrides.All() {
		name := pyvalue.Key(k)
		for file, before := range configs.All() {
			base := pyvalue.Key(file)
			if base != name && strings.TrimSuffix(base, filepath.Ext(base)) != name {
				continue
			}
			old, isDict := before.(*pyvalue.Dict)
			add, addsDict := settings.(*pyvalue.Dict)
			if !isDict || !addsDict {
				configs.SetStr(base, settings)
				continue
			}
			merged := old.Clone()
			for key, v := range add.All() {
				merged.Set(key, v)
			}
			configs.SetStr(base, merged)
		}
	}
}
