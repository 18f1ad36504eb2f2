package edge

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"quorate/engine/api"
	"quorate/internal/soak/lab"
)

// relayNumber numbers the relay's link among those of the agents.
const relayNumber = 200

// A relayed is a site whose agents have nothing but a relay, which is behind a link.
type relayed struct {
	*site
	host  *lab.Host
	relay *lab.Process
	link  *Link
	dir   string // of the relay
}

// newRelayed starts orchestrators, a relay behind a link, and agents near the relay that
// know nothing else.
func newRelayed(t testing.TB, orchestrators, agents int, c Conditions, flags ...string) *relayed {
	t.Helper()
	return relayedSite(t, orchestrators, agents, c, false, flags...)
}

// relayedSite is newRelayed, with agents that may know the orchestrators, too.
func relayedSite(t testing.TB, orchestrators, agents int, c Conditions, both bool, flags ...string) *relayed {
	t.Helper()
	network, err := lab.Isolate()
	if err != nil {
		t.Skipf("bad links need network namespaces, and those root: %v", err)
	}
	r := &relayed{site: &site{t: t, network: network}}
	t.Cleanup(r.close)
	if r.router, err = network.Host("router"); err != nil {
		t.Fatal(err)
	}
	r.on(r.router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	if r.host, err = network.Host("relay"); err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort(r.host.Address, "7443")
	r.Lab, err = lab.New(t.Context(), lab.Options{
		Binary: program, Network: network, Orchestrators: orchestrators,
		AgentCommand: func(_ *lab.Lab, _ string, argv []string) []string {
			argv = slices.Clone(argv)
			if both {
				return append(argv, "--relay", address)
			}
			i := slices.Index(argv, "--server")
			argv[i], argv[i+1] = "--relay", address
			return argv
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.join(c)
	r.start(flags)
	t.Cleanup(func() { r.relay.Kill() })
	for range agents {
		if _, err := r.AddAgent(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r.until("the agents are connected through the relay", func() bool { return r.behind() == agents })
	return r
}

// join puts what is between the relay's host and the orchestrators on a link; the
// agents are on its other network.
func (r *relayed) join(c Conditions) {
	r.t.Helper()
	near, far := r.device(r.router, "site"), r.device(r.host, "wan")
	r.on(r.router, "ip", "link", "set", "site", "txqueuelen", "5000", "up")
	r.on(r.router, "ip", "route", "add", fmt.Sprintf("10.88.%d.0/24", relayNumber), "dev", "site")
	r.on(r.host, "ip", "link", "set", "wan", "txqueuelen", "5000", "up")
	own := address(relayNumber, 0)
	r.on(r.host, "ip", "addr", "add", own+"/32", "dev", "wan")
	for _, o := range r.Servers() {
		r.on(o.Host, "ip", "route", "add", "10.88.0.0/16", "via", r.router.Address)
		r.on(r.host, "ip", "route", "add", o.Address+"/32", "dev", "wan", "src", own)
	}
	r.link = Join(near, far, c, relayNumber)
	r.links = append(r.links, r.link)
}

// start starts the relay.
func (r *relayed) start(flags []string) {
	r.t.Helper()
	r.relay = r.relayIn("relay", r.token("site1"), flags...)
	if err := r.relay.Start(); err != nil {
		r.t.Fatal(err)
	}
}

// token makes one for a relay.
func (r *relayed) token(name string) string {
	r.t.Helper()
	client, err := r.Servers()[0].Local()
	if err != nil {
		r.t.Fatal(err)
	}
	defer client.Close()
	token, err := client.CreateToken(r.t.Context(), api.TokenCreate{Name: name, Role: "relay", TTLSeconds: 3600})
	if err != nil {
		r.t.Fatal(err)
	}
	return token.Token
}

// relayIn is a relay that keeps what it has in a directory of its own.
func (r *relayed) relayIn(dir, token string, flags ...string) *lab.Process {
	r.dir = filepath.Join(r.Dir, dir)
	argv := append([]string{program, "relay", "--data-dir", r.dir, "--server", r.Servers()[0].AgentAddress()}, flags...)
	return lab.NewProcess(dir, filepath.Join(r.Dir, dir+".log"), []string{"QUORATE_TOKEN=" + token}, r.host.Command(argv...)...)
}

// behind counts the agents that are connected through the relay.
func (r *relayed) behind() (n int) {
	client, err := r.anyServer().Local()
	if err != nil {
		return 0
	}
	defer client.Close()
	agents, err := client.Agents(r.t.Context())
	if err != nil {
		return 0
	}
	for _, a := range agents {
		if a.Status == "connected" && a.Relay != "" {
			n++
		}
	}
	return n
}

// fetched is how much of a blob is in the relay's cache.
func (r *relayed) fetched(digest string) int64 {
	for _, suffix := range []string{"", ".part"} {
		if info, err := os.Stat(filepath.Join(r.dir, "cache", digest[:2], digest+suffix)); err == nil {
			return info.Size()
		}
	}
	return 0
}

// deliver writes a file and the arguments of the command that puts it on all agents
// and then leaves a line on each for each time that it did.
func (r *relayed) deliver(name string, bytes int64) (digest string, args []string) {
	digest, args = r.shipment(name, bytes)
	text := fmt.Sprintf("- name: %s\n  jobs:\n    - ADD: --timeout 3600 %s %s\n    - RUN: echo %s >> %s/$(hostname)-$QUORATE_HOST\n", name, name, name, name, r.Dir)
	args[len(args)-1] = r.write(name+".yaml", text)
	return digest, args
}

// digestOf is the SHA-256 of a file.
func digestOf(t *testing.T, path string) string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// delivered wants the file on all agents, by one effect on each.
func (r *relayed) delivered(t *testing.T, name, digest string) {
	t.Helper()
	for _, a := range r.Agents() {
		if got := digestOf(t, filepath.Join(a.Dir, "root", name)); got != digest {
			t.Errorf("%s on %s has SHA-256 %s, want %s", name, a.Name(), got, digest)
		}
		lines := 0
		files, err := filepath.Glob(filepath.Join(r.Dir, "*-"+a.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range strings.Fields(string(text)) {
				if line == name {
					lines++
				}
			}
		}
		if lines != 1 {
			t.Errorf("%s was done %d times on %s, want once", name, lines, a.Name())
		}
	}
}

// TestRelay ships a large file to all agents of a site, over a slow link that is cut
// meanwhile, through a relay that is killed meanwhile: the file crosses the link once,
// and each job is done once. Then it cancels other jobs, and another file, while that is
// on its way.
func TestRelay(t *testing.T) {
	beside(t)
	bytes, agents, rate := size[int64](200e6, 12e6), size(20, 4), size[int64](2e6, 4e6)
	c := Conditions{Delay: size(roundTrip, 60*time.Millisecond) / 2, BytesPerSecond: rate, QueueMax: time.Second}
	r := newRelayed(t, 1, agents, c)
	digest, args := r.deliver("image", bytes)
	before, _ := r.link.Counts()
	began := time.Now()
	run := r.begin(args...)
	r.reaches(digest, bytes/4)
	r.link.Cut()
	<-time.After(size(20*time.Second, 2*time.Second))
	r.link.Mend()
	r.reaches(digest, bytes/2)
	r.relay.Kill()
	if err := r.relay.Start(); err != nil {
		t.Fatal(err)
	}
	r.ends(run, "succeeded")
	took := time.Since(began)
	after, _ := r.link.Counts()
	crossed := after.Bytes - before.Bytes
	t.Logf("%d MB to %d agents took %.1f s over a link of %d MB/s with a cut and a kill; %.3f times as many bytes crossed it",
		bytes/1e6, agents, took.Seconds(), rate/1e6, float64(crossed)/float64(bytes))
	// Headers of IP, UDP and QUIC are some 5 %, and what was under way is lost twice.
	if most := bytes + bytes/10 + 3*rate; crossed > most {
		t.Errorf("%d bytes crossed the link for a file of %d to %d agents, want %d at most", crossed, bytes, agents, most)
	}
	r.delivered(t, "image", digest)
	r.cancels(t, bytes, c)
}

// reaches waits until so much of a blob is in the cache.
func (r *relayed) reaches(digest string, bytes int64) {
	r.t.Helper()
	if err := lab.UntilWithin(r.t.Context(), size(10*time.Minute, lab.Patience), "the file is under way", func() bool { return r.fetched(digest) >= bytes }); err != nil {
		r.t.Fatal(err)
	}
}

// ends waits for the end of a run, which has to be the one that is wanted.
func (r *relayed) ends(run, want string) {
	r.t.Helper()
	var got *api.Run
	err := lab.UntilWithin(r.t.Context(), size(10*time.Minute, lab.Patience), "run "+run+" ends", func() bool {
		got = r.show(run)
		return got.Status != "running" && got.Status != "cancelling"
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if got.Status != want {
		r.t.Errorf("run %s %s, want %s: %+v", run, got.Status, want, got.Summary)
	}
}

// cancels cancels jobs while a file is under way, and at last the file.
func (r *relayed) cancels(t *testing.T, bytes int64, c Conditions) {
	digest, args := r.deliver("second", bytes+1)
	ship := r.begin(args...)
	r.reaches(digest, bytes/8)
	trip := 2 * c.Delay
	var took []time.Duration
	for n := range size(5, 1) {
		run, pid := r.sleeper(fmt.Sprintf("sleeper%d", n))
		took = append(took, r.cancel(run, func() bool { return gone(pid) }))
	}
	slices.Sort(took)
	last := r.cancel(ship, func() bool {
		before := r.fetched(digest)
		<-time.After(50 * time.Millisecond)
		return r.fetched(digest) == before
	})
	r.ends(ship, "cancelled")
	t.Logf("%v there and back: with a file on its way a cancel took %v in the median of %d and %v at worst, and %v where it was the file's",
		trip, took[len(took)/2].Round(time.Millisecond), len(took), took[len(took)-1].Round(time.Millisecond), last.Round(time.Millisecond))
	if most := 2 * trip; full() && (took[len(took)/2] > most || last > most) {
		t.Errorf("a cancel took %v in the median, and %v where it was the file's, want %v at most", took[len(took)/2], last, most)
	}
	if got := r.fetched(digest); got > bytes {
		t.Errorf("all of the file was fetched although it was cancelled")
	}
}
