package job

// ComponentFile and DescriptionFile are the names of the files that a job of a
// user-defined component brings: the executable, and its description in JSON.
const (
	ComponentFile   = "component"
	DescriptionFile = "component.json"
)

// A Content is a file that comes with jobs, held in memory or lying in a file.
type Content struct {
	File File
	// Input is what the plan calls it among its inputs.
	Input string
	// Path is where it lies; empty where Bytes hold it.
	Path  string
	Bytes []byte
}

// Component returns the executable and the description that a job of a
// user-defined component brings. ok is false for a job of any other verb.
func (j *Job) Component() (executable, description File, ok bool) {
	if len(j.Files) != 2 || j.Files[0].Name != ComponentFile || j.Files[1].Name != DescriptionFile {
		return File{}, File{}, false
	}
	return j.Files[0], j.Files[1], true
}
