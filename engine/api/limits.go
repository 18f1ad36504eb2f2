package api

import "time"

// Bounds of what one request may carry and take.
const (
	bodyBytesMax    = 1 << 20 // of a JSON body
	blobBytesMax    = 4 << 30 // of one blob
	blobsMissingMax = 10_000  // digests in one question
	headerBytesMax  = 64 << 10

	headerTimeout   = 10 * time.Second // for a request's header
	catchUpTimeout  = 20 * time.Second // for an orchestrator that has just started to read its log
	requestTimeout  = time.Minute      // for a request that does not stream
	streamTimeout   = 30 * time.Second // for a peer to take or send the next piece
	idleTimeout     = 2 * time.Minute  // between requests of a connection
	heartbeatPeriod = 5 * time.Second  // of a stream on which nothing happens
	stopTimeout     = 5 * time.Second  // for requests under way when the server stops

	watchEventsMax  = 256 // events of a watch taken at once
	logRecordsMax   = 256 // records of the log taken at once
	blobChunkBytes  = 256 << 10
	runsListedMax   = 10_000
	retellRecordMax = 1024
)
