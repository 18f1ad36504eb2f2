package verb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"golang.org/x/net/http/httpproxy"

	"quorate/internal/job"
	"quorate/internal/pyvalue"
	"quorate/nodeagent/template"
)

func getVerb() *Verb {
	return deciding(job.Declaration{
		Verb:    "GET",
		Summary: "Fetch a file from a web server, by its SHA-256.",
		Details: "A file that has the digest is not fetched again. What was fetched goes into a hidden file beside the destination, " +
			"where the next try goes on if the server can, and takes its place once the digest is right. " +
			"Proxies are those of http_proxy, https_proxy and no_proxy, as ENV or the agent has them.",
		Example:    "GET: https://example.org/tool-1.2.tar.gz /opt/tool.tar.gz --sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		Text:       "an ADDRESS and a DESTINATION",
		Positional: job.Paths,
		WordsMin:   2,
		WordsMax:   2,
		Options: append(ownership(),
			job.OptionDecl{Name: "sha256", Kind: job.String, Required: true, Help: "the digest of the content, 64 hexadecimal digits"},
			job.OptionDecl{Name: "retry", Kind: job.Int, Default: "3", Help: "how often to try"},
			job.OptionDecl{Name: "retry-wait", Kind: job.Int, Default: "2", Help: "seconds between tries"},
			job.OptionDecl{Name: "insecure", Kind: job.Flag, Help: "do not verify the server's certificate: the digest is enough"}),
		Check: func(p *job.Parsed) string {
			if digest, _ := p.Job.Option("sha256"); !template.Dynamic(digest) && !sha256Hex.MatchString(digest) {
				return "--sha256 is 64 hexadecimal digits"
			}
			if intOption(&p.Job, "retry", 1) < 1 || intOption(&p.Job, "retry-wait", 0) < 0 {
				return "--retry is at least 1, and --retry-wait not negative"
			}
			return checkOwnership(p)
		},
	}, decideGet)
}

var sha256Hex = regexp.MustCompile(`^[0-9A-Fa-f]{64}$`)

// A download is one file on its way.
type download struct {
	address, digest string
	path, part      string
	want            owner
	client          *http.Client
}

func decideGet(ctx context.Context, a *asked) ([]step, error) {
	d := &download{address: a.words[0], digest: strings.ToLower(a.option("sha256"))}
	if u, err := url.Parse(d.address); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is no address of http or https", d.address)
	}
	if !sha256Hex.MatchString(d.digest) {
		return nil, fmt.Errorf("--sha256 is 64 hexadecimal digits, not %q", d.digest)
	}
	var err error
	if d.want, err = ownershipOf(a.job); err != nil {
		return nil, err
	}
	if d.path, err = followed(a.path(a.words[1])); err != nil {
		return nil, fmt.Errorf("%s: %w", a.path(a.words[1]), err)
	}
	dir := filepath.Dir(d.path)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("there is no directory %s", dir)
	}
	d.part = filepath.Join(dir, "."+filepath.Base(d.path)+".quorate-"+d.digest[:16])
	digest, err := digestOf(ctx, d.path)
	if err != nil {
		return nil, err
	}
	if digest == d.digest {
		pending, err := d.want.pending(d.path)
		if err != nil || len(pending) == 0 {
			return nil, err
		}
		e := &edit{path: d.path, want: d.want}
		return []step{{what: d.path + ": " + strings.Join(pending, ", "), do: e.own}}, nil
	}
	proxy, err := a.proxies()
	if err != nil {
		return nil, err
	}
	return []step{{what: "fetch " + d.address + " to " + d.path, do: func(ctx context.Context) Result {
		d.client = httpClient(a.has("insecure"))
		d.client.Transport.(*http.Transport).Proxy = func(r *http.Request) (*url.URL, error) { return proxy(r.URL) }
		defer d.client.CloseIdleConnections()
		return d.run(ctx, a.int("retry"), a.int("retry-wait"))
	}}}, nil
}

// digestOf is the SHA-256 of a file, or nothing where there is none.
func digestOf(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	return copyContent(ctx, io.Discard, f)
}

// proxies finds the proxy of an address, by the variables of ENV before those of the
// agent itself.
func (env *Env) proxies() (func(*url.URL) (*url.URL, error), error) {
	config := httpproxy.FromEnvironment()
	envs, err := env.Facts.Envs()
	if err != nil {
		return nil, err
	}
	for _, fact := range envs {
		text := pyvalue.String(fact.Value)
		switch strings.ToLower(fact.Name) {
		case "http_proxy":
			config.HTTPProxy = text
		case "https_proxy":
			config.HTTPSProxy = text
		case "no_proxy":
			config.NoProxy = text
		}
	}
	return config.ProxyFunc(), nil
}

var errWrongDigest = errors.New("the server's content has another SHA-256")

// run tries until the content is whole.
func (d *download) run(ctx context.Context, tries, wait int) Result {
	var err error
	for n := 1; n <= tries; n++ {
		if err = d.try(ctx); err == nil {
			return succeeded(true, d.digest+"  "+d.path+"\n")
		}
		if ctx.Err() != nil || errors.Is(err, errWrongDigest) || n < tries && pause(ctx, wait) != nil {
			break
		}
	}
	if info, statErr := os.Stat(d.part); statErr == nil && info.Size() == 0 {
		err = errors.Join(err, os.Remove(d.part)) // there is nothing in it to go on from
	}
	return failed("%v", err)
}

// try fetches what is missing, checks all of it, and puts it in its place.
func (d *download) try(ctx context.Context) error {
	f, err := os.OpenFile(d.part, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	// Two jobs that fetch the same would write into each other's file.
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("another job fetches %s in this moment", d.path)
	}
	resumed, err := d.fetch(ctx, f)
	if err != nil {
		return err
	}
	err = d.place(ctx, f)
	if resumed && errors.Is(err, errWrongDigest) {
		// What lay there may have been of another content: only a whole one tells.
		if err = f.Truncate(0); err != nil {
			return err
		}
		if _, err = d.fetch(ctx, f); err != nil {
			return err
		}
		err = d.place(ctx, f)
	}
	if errors.Is(err, errWrongDigest) {
		err = errors.Join(err, os.Remove(d.part))
	}
	return err
}

// fetch appends to the file what it lacks, and reports whether it went on where it
// had stopped.
func (d *download) fetch(ctx context.Context, f *os.File) (resumed bool, err error) {
	at, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return false, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.address, nil)
	if err != nil {
		return false, err
	}
	// Compressed on the way, it would be another content.
	request.Header.Set("Accept-Encoding", "identity")
	if at > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", at))
	}
	response, err := d.client.Do(request)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusPartialContent && strings.HasPrefix(response.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", at)):
		resumed = true
	case response.StatusCode == http.StatusRequestedRangeNotSatisfiable && at > 0:
		// The whole of it may be there; its digest tells.
		return true, nil
	case response.StatusCode == http.StatusOK:
		if err := f.Truncate(0); err != nil {
			return false, err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return false, err
		}
	default:
		return false, fmt.Errorf("%s answers %s", d.address, response.Status)
	}
	_, err = copyContent(ctx, f, response.Body)
	return resumed, err
}

// place checks the file and lets it take the place of the destination.
func (d *download) place(ctx context.Context, f *os.File) error {
	digest, err := digestOf(ctx, d.part)
	if err != nil {
		return err
	}
	if digest != d.digest {
		return fmt.Errorf("%w: %s", errWrongDigest, digest)
	}
	want := d.want
	want.inherit(d.path)
	if _, err := want.apply(d.part); err != nil {
		return err
	}
	copyLabel(d.path, d.part)
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(d.part, d.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(d.path))
}
