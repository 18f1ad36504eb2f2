package eventlog

// Version says which records this program reads and writes: it is raised by one in the first
// release with a new kind of event, a field added to one, or a changed rule of folding. A
// program whose version is lower than that of one which writes to the same log may stop at what
// it finds there. Programs from before there was a version count as 0.
const Version uint32 = 1
