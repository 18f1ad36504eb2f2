package bundle

// digests finds those of a list of SHA-256, in lower-case hex, that what is written to
// it contains.
type digests struct {
	want map[string]bool // true once found
	last []byte          // the hex digits that were written last, up to 63
	news []string
}

func newDigests(blobs []Blob) *digests {
	d := &digests{want: make(map[string]bool, len(blobs))}
	for _, b := range blobs {
		d.want[b.SHA256] = false
	}
	return d
}

// restart begins another content.
func (d *digests) restart() { d.last, d.news = d.last[:0], nil }

// fresh are those that were found in the content at hand for the first time.
func (d *digests) fresh() []string { return d.news }

func (d *digests) has(digest string) bool { return d.want[digest] }

// Write looks through a piece of the content.
func (d *digests) Write(p []byte) (int, error) {
	for _, c := range p {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			d.last = d.last[:0]
			continue
		}
		if len(d.last) == sumLineDigits {
			d.last = append(d.last[:0], d.last[1:]...)
		}
		if d.last = append(d.last, c); len(d.last) < sumLineDigits {
			continue
		}
		if found, ok := d.want[string(d.last)]; ok && !found {
			d.want[string(d.last)] = true
			d.news = append(d.news, string(d.last))
		}
	}
	return len(p), nil
}
