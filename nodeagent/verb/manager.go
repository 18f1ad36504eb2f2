package verb

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// A manager is how one package manager is asked and told. Commands are words, to
// which names of packages are added.
type manager struct {
	name, tool, database             string
	env                              []string // NAME=VALUE, before each command
	refresh, install, update, remove []string
	// listing is a pipeline that prints a checksum of all that is installed.
	listing string
	// installed returns which of the job's packages are there.
	installed func(ctx context.Context, a *asked) ([]string, error)
	// outdated describes the newer versions that there are of packages.
	outdated func(ctx context.Context, a *asked, packages []string) ([]string, error)
	// lock matches what the manager says where another process holds its lock, and
	// lockExit is its exit code for that, or 0.
	lock     *regexp.Regexp
	lockExit int32
	// success are the exit codes that mean it; empty is {0}.
	success []int32
}

func managerOf(name string) *manager {
	for _, m := range managers() {
		if m.name == name {
			return m
		}
	}
	return nil
}

// managers are those that PACKAGE knows, in the order in which they are looked for:
// openSUSE may have dnf too, and then zypper is the one in use.
func managers() []*manager {
	return []*manager{aptManager(), zypperManager(), dnfManager(), apkManager()}
}

func (m *manager) busy(res Result) bool {
	text, _ := outputText(res.Stderr)
	return m.lockExit != 0 && res.Exit == m.lockExit || m.lock.MatchString(text)
}

// state is a checksum of what is installed.
func (m *manager) state(ctx context.Context, a *asked) (string, error) {
	exited, err := a.command(ctx, "export LC_ALL=C; "+m.listing+" | cksum", false)
	if err == nil && exited.Code != 0 {
		err = refused(m.database, exited)
	}
	if err != nil {
		return "", fmt.Errorf("database of packages: %w", err)
	}
	return string(exited.Stdout.Head), nil
}

func aptManager() *manager {
	get := func(words ...string) []string {
		return append([]string{"apt-get", "-q", "-y", "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"}, words...)
	}
	return &manager{
		name: "apt", tool: "apt-get", database: "dpkg-query",
		env:     []string{"LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"},
		refresh: get("update"), install: get("install"), update: get("install", "--only-upgrade"), remove: get("remove"),
		listing:   "dpkg-query -W -f='${Package} ${Architecture} ${Version} ${Status}\\n'",
		installed: aptInstalled,
		outdated: func(ctx context.Context, a *asked, packages []string) ([]string, error) {
			return a.simulated(ctx, regexp.MustCompile(`^Inst (\S+)(?: \[\S+\])? \((\S+)`),
				append([]string{"apt-get", "-s", "-q", "install", "--only-upgrade"}, packages...))
		},
		lock: regexp.MustCompile(`(?i)could not get lock|unable to (acquire|lock) the|is another process using it`),
	}
}

// aptInstalled asks dpkg. A name may be followed by an architecture and a version.
func aptInstalled(ctx context.Context, a *asked) ([]string, error) {
	query := []string{"dpkg-query", "-W", "-f=${Package}\\t${Architecture}\\t${Version}\\t${Status}\\n"}
	for _, name := range a.words {
		bare, _, _ := strings.Cut(name, "=")
		query = append(query, bare)
	}
	text, _, err := a.ask(ctx, query...) // the exit code tells only that one of them is not there
	if err != nil {
		return nil, err
	}
	return dpkgMatches(text, a.words), nil
}

// dpkgMatches returns the names, NAME[:ARCHITECTURE][=VERSION], of which the lines of
// dpkg-query tell that they are installed.
func dpkgMatches(text string, names []string) []string {
	var out []string
	for _, name := range names {
		bare, version, versioned := strings.Cut(name, "=")
		bare, arch, arched := strings.Cut(bare, ":")
		for line := range strings.Lines(text) {
			f := strings.Split(strings.TrimSpace(line), "\t")
			if len(f) == 4 && f[0] == bare && (!arched || f[1] == arch || arch == "any") &&
				(!versioned || f[2] == version) && strings.HasSuffix(f[3], " ok installed") {
				out = append(out, name)
				break
			}
		}
	}
	return out
}

// rpmInstalled asks rpm, name by name: what a name stands for is for rpm to know.
func rpmInstalled(ctx context.Context, a *asked) ([]string, error) {
	var out []string
	for _, name := range a.words {
		there, err := a.rpmHas(ctx, strings.Replace(name, "=", "-", 1))
		if err != nil {
			return nil, err
		}
		if there {
			out = append(out, name)
		}
	}
	return out, nil
}

func dnfManager() *manager {
	dnf := func(words ...string) []string {
		return append([]string{"dnf", "-q", "-y", "--setopt=exit_on_lock=True"}, words...)
	}
	return &manager{
		name: "dnf", tool: "dnf", database: "rpm", env: []string{"LC_ALL=C"},
		refresh: dnf("makecache", "--refresh"), install: dnf("install"), update: dnf("upgrade"), remove: dnf("remove"),
		listing:   "rpm -qa | sort",
		installed: rpmInstalled,
		outdated: func(ctx context.Context, a *asked, packages []string) ([]string, error) {
			lines, err := a.dnfOutdated(ctx, a.dry, packages)
			for i, l := range lines {
				lines[i] = strings.TrimPrefix(l, "update ")
			}
			return lines, err
		},
		lock: regexp.MustCompile(`(?i)waiting for process with pid|is locked by another`), lockExit: 200,
	}
}

func zypperManager() *manager {
	zypper := func(words ...string) []string { return append([]string{"zypper", "-q", "-n"}, words...) }
	return &manager{
		name: "zypper", tool: "zypper", database: "rpm", env: []string{"LC_ALL=C"},
		refresh: zypper("refresh"), install: zypper("install"), update: zypper("update"), remove: zypper("remove"),
		listing:   "rpm -qa | sort",
		installed: rpmInstalled,
		outdated: func(ctx context.Context, a *asked, packages []string) ([]string, error) {
			// Not quietly: what would be updated is in what --quiet leaves out.
			return a.simulated(ctx, regexp.MustCompile(`^ {2}(\S+) +\S+ -> (\S+)`),
				append([]string{"zypper", "-n", "--no-refresh", "update", "--dry-run", "--details"}, packages...))
		},
		lock: regexp.MustCompile(`(?i)system management is locked`), lockExit: 7,
		success: []int32{0, 102, 103}, // done, and the host or a service wants a restart
	}
}

func apkManager() *manager {
	apk := func(words ...string) []string { return append([]string{"apk", "-q"}, words...) }
	return &manager{
		name: "apk", tool: "apk", database: "apk", env: []string{"LC_ALL=C"},
		refresh: apk("update"), install: apk("add"), update: apk("add", "-u"), remove: apk("del"),
		listing: "apk info -v",
		installed: func(ctx context.Context, a *asked) ([]string, error) {
			var out []string
			for _, name := range a.words {
				_, exited, err := a.ask(ctx, "apk", "info", "-e", name)
				if err != nil {
					return nil, err
				}
				if exited.Code == 0 {
					out = append(out, name)
				}
			}
			return out, nil
		},
		outdated: func(ctx context.Context, a *asked, packages []string) ([]string, error) {
			return a.simulated(ctx, regexp.MustCompile(`^\(\d+/\d+\) (?:Installing|Upgrading) (\S+) \((?:\S+ -> )?(\S+)\)`),
				append([]string{"apk", "-s", "add", "-u"}, packages...))
		},
		lock: regexp.MustCompile(`(?i)unable to lock database`),
	}
}

// simulated runs a manager that only says what it would do, and picks the names and
// versions out of the lines that the expression matches.
func (a *asked) simulated(ctx context.Context, line *regexp.Regexp, words []string) ([]string, error) {
	text, exited, err := a.ask(ctx, words...)
	switch {
	case err != nil:
		return nil, err
	case exited.Code != 0:
		return nil, refused(words[0], exited)
	}
	return planned(text, line), nil
}

// planned finds "NAME to VERSION" in what a simulation prints.
func planned(text string, line *regexp.Regexp) []string {
	var out []string
	for l := range strings.Lines(text) {
		if m := line.FindStringSubmatch(strings.TrimRight(l, "\r\n")); m != nil {
			out = append(out, m[1]+" to "+m[2])
		}
	}
	return out
}
