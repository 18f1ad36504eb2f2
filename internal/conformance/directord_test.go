package conformance

// directord are the cases of Directord's files and command lines.
func directord() []conformanceCase {
	return append(append(directordFiles(), directordHosts()...), directordCluster()...)
}

// directordFiles are about what files mean.
func directordFiles() []conformanceCase {
	return []conformanceCase{
		{"1", "a RUN job with a name", "K", "verb RUN, job name kept", "", ""},
		{"2", "a second verb in one job", "B", "one RUN, the other key is ignored silently", "the same, with a warning that names the key", "a job that was lost shows"},
		{"3", "several blanks inside quotes", "B", "runs of blanks become one, also in quotes", "blanks inside a line stay", "quoted text arrives as written"},
		{"3b", "a folded command with more-indented lines", "K", "line breaks become blanks, one command", "", ""},
		{"4", "options in front of a command", "K", "taken as the job's", "", ""},
		{"5", "a bare -- in a command", "K", "ends the options and stays in the command", "", ""},
		{"6", "ADD with options before and after its paths", "K", "all are taken", "", ""},
		{"7", "a template in ADD's quoted destination", "K", "rendered on the host", "", ""},
		{"8", "a surplus word behind QUERY's key", "B", "dropped silently", "an error that names the word", "a mistyped job does not run"},
		{"9", "an unknown name in vars", "K", "ignored", "", ""},
		{"10", "options that exclude each other, in the middle of a file", "B", "the jobs before it run already", "nothing of the file starts", "a file is right, or not begun"},
		{"11", "words for async", "K", "the classical words; any other text is true", "", ""},
		{"12", "RUN: false, which YAML reads as a boolean", "B", "an empty command", "the command false, which fails", "what is written is run"},
		{"13", "assign of a job, targets of its orchestration, --target", "K", "assign wins over --target, which wins over targets", "", ""},
		{"14", "an unknown host among the targets", "B", "the job runs nowhere", "it runs on the known ones, and the run fails for the others, with exit status 4, or 1 of quorate directord; one that --target names is refused before anything is sent", "one name that is gone stops no others, and shows"},
		{"15", "--run-once with two targets", "K", "the first in the order of the file", "", ""},
		{"16", "an integer argument in an expression", "K", "a number", "", ""},
		{"17", "an argument in quotes", "K", "without the quotes", "", ""},
		{"18", "an argument with leading zeros", "K", "text", "", ""},
		{"19", "a list printed by a template", "K", "in Python's notation", "", ""},
		{"20", "an environment variable of an argument", "K", "rendered, in Python's notation", "", ""},
		{"21", "--extend-args twice", "K", "mappings merge, lists grow; without the option the value is replaced", "", ""},
		{"22", "an undefined name in a command", "K", "the job fails and its error output names it", "", ""},
		{"23", "an undefined name in ARG", "K", "stored as it is written", "the same, with a warning in the job's info", "the mistake shows where it was made"},
		{"24", "--stdout-arg, used by the next job", "K", "set before the next job starts", "", ""},
		{"25", "--stdout-arg of a command that fails", "B", "the job succeeds", "the job fails; the argument is set all the same", "a failure is one"},
		{"26", "a list that a loop in a template appends to", "K", "outlives the loop", "", ""},
		{"27", "map, select, reject and first over what was queried", "K", "as Jinja2 does", "", ""},
	}
}

// directordHosts are about what happens on hosts.
func directordHosts() []conformanceCase {
	return []conformanceCase{
		{"28", "the same RUN again, and with --ignore-cache", "K", "skipped as a success; with the option it runs", "", ""},
		{"29", "ADD of a source that was edited", "B", "skipped", "the new content is delivered", "a second deployment deploys"},
		{"30", "CACHEFILE twice", "B", "its lists double", "its lists are as in the file", "a second deployment is like the first"},
		{"31", "CACHEEVICT all, then the RUN again", "K", "runs", "", ""},
		{"32", "a RUN that failed, again", "K", "runs", "", ""},
		{"33", "two async orchestrations on one host", "K", "beside each other, each in its order", "", ""},
		{"34", "two orchestrations on one host that are not async", "K", "one after the other", "", ""},
		{"35", "a job behind one that failed", "B", "runs, where the host has it already", "does not run on that host; the next orchestration does", "nothing is built on a failure; on_failure: continue asks for it"},
		{"36", "a command past its time limit", "B", "fails, and the command goes on", "fails, and the command is killed with all it started", "what failed has no effects later"},
		{"37", "QUEUESENTINEL while jobs are queued", "K", "the queued ones are omitted, the running one ends", "", ""},
		{"38", "WORKDIR twice with a mode", "K", "there, with the mode, both succeed", "", ""},
		{"39", "ADD into a directory that is missing", "K", "fails", "", ""},
		{"40", "ADD of several files by a glob", "B", "files are lost or misdirected", "all of them, in the order of their names", "globs can be used"},
		{"41", "SERVICE --enable, and DNF with two packages", "K", "enabled and started; one installation of both", "", ""},
		{"42", "WAIT with two retries", "K", "fails after three tries", "", ""},
		{"43", "QUERY of an argument that one host has", "K", "by host and name, None where it is missing, there for the next job", "", ""},
	}
}

// directordCluster are about the server and the command line.
func directordCluster() []conformanceCase {
	return []conformanceCase{
		{"44", "the list of nodes while there is none", "K", "exit status other than 0", "", ""},
		{"45", "exec of a command that fails, polled", "K", "exit status 1", "the same of quorate directord; quorate exec says 4", "the run ended with failures is told from other errors"},
		{"46", "an argument of half a megabyte; garbage on the socket", "B", "the server ends", "the argument is taken, garbage refused", "one client does not end the others"},
		{"47", "an agent that dies in the middle of a job, polled", "B", "polled for ever", "the command goes on and counts when the agent is back; what cannot be known is asked of an operator, with exit status 7, and --timeout bounds the wait", "the command may be running: a failure would be a guess"},
		{"48", "the list of fingerprints", "K", "printed, and nothing is sent", "", ""},
	}
}
