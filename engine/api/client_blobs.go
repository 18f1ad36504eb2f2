package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// A Blob is content to upload, named by its SHA-256 in lower-case hex.
type Blob struct {
	Digest string
	Size   int64
	// Open returns the content; it is called only where the orchestrator lacks it.
	Open func() (io.ReadCloser, error)
}

// MissingBlobs returns the digests, of those given, that the orchestrator lacks.
func (c *Client) MissingBlobs(ctx context.Context, digests []string) ([]string, error) {
	out, err := post[BlobsMissing](ctx, c, "/v1/blobs/missing", &BlobsMissing{Schema: Schema, Digests: digests})
	if err != nil {
		return nil, err
	}
	return out.Digests, nil
}

// PutBlob uploads one blob.
func (c *Client) PutBlob(ctx context.Context, digest string, r io.Reader, size int64) error {
	open := func() (io.ReadCloser, error) { return io.NopCloser(r), nil }
	return c.putBlob(ctx, digest, request{body: open, size: size, once: true})
}

func (c *Client) putBlob(ctx context.Context, digest string, r request) error {
	r.method, r.path, r.contentType = http.MethodPut, "/v1/blobs/"+url.PathEscape(digest), "application/octet-stream"
	resp, err := c.send(ctx, r)
	if err != nil {
		return fmt.Errorf("upload of blob %.12s: %w", digest, err)
	}
	return resp.Body.Close()
}

// Blob downloads one blob; the caller closes it.
func (c *Client) Blob(ctx context.Context, digest string) (io.ReadCloser, error) {
	resp, err := c.send(ctx, request{method: http.MethodGet, path: "/v1/blobs/" + url.PathEscape(digest)})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// UploadBlobs uploads those of the blobs that the orchestrator lacks and returns
// how many that were.
func (c *Client) UploadBlobs(ctx context.Context, blobs []Blob) (sent int, err error) {
	byDigest := make(map[string]Blob, len(blobs))
	var digests []string
	for _, b := range blobs {
		if _, seen := byDigest[b.Digest]; !seen {
			byDigest[b.Digest] = b
			digests = append(digests, b.Digest)
		}
	}
	for len(digests) > 0 {
		n := min(len(digests), blobsMissingMax)
		missing, err := c.MissingBlobs(ctx, digests[:n])
		if err != nil {
			return sent, err
		}
		digests = digests[n:]
		for _, digest := range missing {
			b, ok := byDigest[digest]
			if !ok {
				return sent, fmt.Errorf("the orchestrator asks for blob %.12s, which it was not offered", digest)
			}
			if err := c.uploadBlob(ctx, b); err != nil {
				return sent, err
			}
			sent++
		}
	}
	return sent, nil
}

func (c *Client) uploadBlob(ctx context.Context, b Blob) error {
	open := func() (io.ReadCloser, error) {
		r, err := b.Open()
		if err != nil {
			return nil, fmt.Errorf("blob %.12s: %w", b.Digest, err)
		}
		return r, nil
	}
	return c.putBlob(ctx, b.Digest, request{body: open, size: b.Size})
}
