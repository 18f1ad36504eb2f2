#!/bin/sh
# MOTD: put a message where people see it when they log in.
#
# A component without any library: text and options are in the environment, the
# action is the first argument, and the reply is one JSON object on stdout.
set -u

reply() { # OUTCOME CHANGED INFO
	printf '{"protocol": 1, "action": "%s", "outcome": "%s", "changed": %s, "info": "%s"}\n' "$action" "$1" "$2" "$3"
}

action=$1
if [ "$action" = describe ]; then
	cat <<-'END'
	{"protocol": 1, "action": "describe", "name": "motd",
	 "summary": "Put a message where people see it when they log in.",
	 "text": {"kind": "free", "help": "MESSAGE", "min": 1},
	 "options": [{"name": "path", "kind": "string", "default": "etc/motd", "help": "the file"},
	             {"name": "chmod", "kind": "mode", "default": "0644", "help": "its permission bits"}],
	 "idempotent": true, "check": true, "timeout_seconds": 60}
	END
	exit
fi

file=$QUORATE_OPTION_PATH
if [ -f "$file" ] && [ "$(cat "$file")" = "$QUORATE_TEXT" ]; then
	reply succeeded false "the message is there"
	exit
fi
if [ "$action" = check ]; then
	reply succeeded true "the message would change"
	exit
fi
if ! { mkdir -p "$(dirname "$file")" && printf '%s\n' "$QUORATE_TEXT" >"$file.new" &&
	chmod "$QUORATE_OPTION_CHMOD" "$file.new" && mv -f "$file.new" "$file"; } >&2; then
	reply failed false "the message could not be written"
	exit 1
fi
reply succeeded true "the message has changed"
