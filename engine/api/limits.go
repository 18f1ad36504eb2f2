package api

// Bounds of what one request may carry.
const (
	// blobsMissingMax is the number of digests in one question.
	blobsMissingMax = 10_000
)
