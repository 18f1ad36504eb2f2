package planner

// Inputs are what was loaded: parsed files, and the digests of what jobs ship.
type Inputs struct{}

// A Blob is the content of one input, held in memory or lying in a file.
type Blob struct {
	Digest  string // SHA-256, lower-case hex
	Size    int64
	Content []byte // nil where Path is set
	Path    string
}

// Blobs are the contents of all inputs, each digest once, sorted by digest.
func (in *Inputs) Blobs() []Blob { return nil }
