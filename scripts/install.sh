#!/bin/sh
# Installs berth from a built tree, for systems that no package fits.
#
#   scripts/install.sh             install
#   scripts/install.sh uninstall   remove what was installed, but neither the
#                                  configuration nor the images
#
# PREFIX   where to, /usr/local otherwise
# DESTDIR  what stands before every path: nothing but files is changed then
# BINARY   what to install, bin/berth otherwise
#
# A configuration that is there already is not replaced: a new one is put beside
# it as berth.toml.new where it differs.
set -eu
cd "$(dirname "$0")/.."

PREFIX=${PREFIX:-/usr/local}
DESTDIR=${DESTDIR:-}
BINARY=${BINARY:-bin/berth}
share=$DESTDIR$PREFIX/share
units=$DESTDIR$PREFIX/lib/systemd/system
conf=$DESTDIR/etc/berth

# installed lists every file, for both ways.
installed() {
	echo "$DESTDIR$PREFIX/bin/berth"
	echo "$share/man/man1/berth.1"
	echo "$share/man/man5/berth.toml.5"
	echo "$share/bash-completion/completions/berth"
	echo "$share/zsh/site-functions/_berth"
	echo "$share/fish/vendor_completions.d/berth.fish"
	echo "$units/berth.service"
	echo "$units/berth.socket"
	echo "$units/berth-usb.service"
	echo "$units/berth-usb@.service"
	echo "$units/berth-upkeep.timer"
	echo "$DESTDIR$PREFIX/lib/udev/rules.d/90-berth-usb.rules"
	for example in packaging/systemd/examples/*.conf; do
		echo "$share/doc/berth/examples/$(basename "$example")"
	done
	for document in README CHANGELOG docs/CONFIGURATION docs/FORMAT docs/PACKAGES docs/SYSTEMD; do
		echo "$share/doc/berth/$(basename "$document").md"
	done
}

# content prints what belongs into a file.
content() {
	case $1 in
	*/bin/berth) cat "$BINARY" ;;
	*/berth.1) "$BINARY" help berth.1 ;;
	*/berth.toml.5) "$BINARY" help berth.toml.5 ;;
	*/completions/berth) "$BINARY" help bash ;;
	*/_berth) "$BINARY" help zsh ;;
	*/berth.fish) "$BINARY" help fish ;;
	*/berth.service) sed "s|/usr/bin/berth|$PREFIX/bin/berth|; s|/usr/share/doc|$PREFIX/share/doc|" packaging/systemd/berth.service ;;
	*/systemd/system/*) sed "s|/usr/share/doc|$PREFIX/share/doc|" "packaging/systemd/$(basename "$1")" ;;
	*.rules) cat "packaging/udev/$(basename "$1")" ;;
	*/examples/*) cat "packaging/systemd/examples/$(basename "$1")" ;;
	*/README.md | */CHANGELOG.md) cat "$(basename "$1")" ;;
	*) cat "docs/$(basename "$1")" ;;
	esac
}

# put writes a file at once, over one that may be running.
put() {
	mkdir -p "$(dirname "$1")"
	content "$1" >"$1.new.$$"
	case $1 in
	*/bin/*) chmod 755 "$1.new.$$" ;;
	*) chmod 644 "$1.new.$$" ;;
	esac
	mv -f "$1.new.$$" "$1"
}

configure() {
	mkdir -p "$conf"
	if [ ! -e "$conf/berth.toml" ]; then
		"$BINARY" help berth.toml >"$conf/berth.toml"
		return
	fi
	"$BINARY" help berth.toml >"$conf/berth.toml.new"
	if cmp -s "$conf/berth.toml" "$conf/berth.toml.new"; then
		rm "$conf/berth.toml.new"
	else
		echo "$conf/berth.toml stays as it is; berth.toml.new beside it is the new one"
	fi
}

# system makes the user and the directory, and tells systemd.
system() {
	if ! getent passwd berth >/dev/null 2>&1; then
		useradd --system --user-group --home-dir /var/lib/berth --no-create-home --shell /usr/sbin/nologin berth 2>/dev/null ||
			adduser -S -D -H -h /var/lib/berth -s /sbin/nologin berth
	fi
	mkdir -p /var/lib/berth
	chown "berth:$(id -gn berth)" /var/lib/berth
	chmod 750 /var/lib/berth
	if [ -d /run/systemd/system ]; then
		systemctl daemon-reload
		systemctl try-restart berth.service
		echo "systemctl enable --now berth.socket starts berth with the first connection to 127.0.0.1:5000"
	fi
}

case ${1:-install} in
install)
	if [ ! -x "$BINARY" ]; then
		echo "$BINARY is not there: make build makes it" >&2
		exit 1
	fi
	"$BINARY" version
	installed | while read -r file; do put "$file"; done
	configure
	if [ -z "$DESTDIR" ]; then
		system
	fi
	;;
uninstall)
	if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; then
		systemctl disable --now berth-upkeep.timer berth.socket berth.service berth-usb.service 2>/dev/null || :
	fi
	installed | while read -r file; do rm -f "$file"; done
	rmdir "$share/doc/berth/examples" "$share/doc/berth" 2>/dev/null || :
	if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; then
		systemctl daemon-reload
	fi
	echo "kept: $conf and $DESTDIR/var/lib/berth, and the user berth"
	;;
*)
	sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
