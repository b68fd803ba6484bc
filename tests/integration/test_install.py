# SPDX-License-Identifier: ISC
"""What `meson install` puts where, and, in a namespace of its own, the README's steps to a running system installation."""

import os
import subprocess

import pytest

from conftest import BUILD, TOP, USERS, root_only

FILES = [
    "usr/sbin/kingpost", "usr/sbin/sendmail", "usr/bin/mailq", "usr/bin/newaliases", "usr/libexec/kingpost/master",
    "usr/libexec/kingpost/smtpd", "usr/libexec/kingpost/deliver", "usr/libexec/kingpost/maildrop", "etc/kingpost/kingpost.conf",
    "usr/share/kingpost/aliases", "usr/lib/sysusers.d/kingpost.conf", "usr/lib/tmpfiles.d/kingpost.conf",
    "usr/lib/systemd/system/kingpost.service", "usr/share/man/man5/kingpost.conf.5", "usr/share/man/man8/kingpost.8",
    "usr/share/man/man8/kingpost-qmgr.8", "usr/share/man/man1/sendmail.1", "usr/share/man/man1/mailq.1",
]

STEPS = """
set -e
mount -t tmpfs tmpfs "$1"
for d in usr etc var/spool var/log var/mail run; do
    mkdir -p "$1/$d/u" "$1/$d/w"
    mount -t overlay overlay -o "lowerdir=/$d,upperdir=$1/$d/u,workdir=$1/$d/w" "/$d"
done
ip link set lo up
tar -C "$2" -c usr etc | tar -C / -x --no-overwrite-dir
rm -rf /run/kingpost /var/spool/kingpost /var/log/kingpost "/var/mail/$3"
if command -v systemd-sysusers >/dev/null && command -v systemd-tmpfiles >/dev/null; then
    systemd-sysusers
    systemd-tmpfiles --create kingpost.conf
else
    mkdir -p /run/kingpost && chgrp kp-drop /usr/libexec/kingpost/maildrop && chmod 2755 /usr/libexec/kingpost/maildrop
fi
cp /usr/share/kingpost/aliases /etc/aliases
echo "root: $3" >>/etc/aliases
newaliases
kingpost check
kingpost start
trap 'kingpost stop' EXIT
printf 'Subject: a system installation\\n\\nworks\\n' | sendmail root
for i in $(seq 100); do grep -qs 'Subject: a system installation' "/var/mail/$3" && break; sleep 0.1; done
grep 'Subject: a system installation' "/var/mail/$3" || { tail -n 30 /var/log/kingpost/kingpost.log; exit 1; }
mailq
"""


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    dest = tmp_path_factory.mktemp("dest")
    done = subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", str(dest)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    return dest


def test_every_file_has_its_place(staged):
    missing = [f for f in FILES if not os.path.lexists(staged / f)]
    assert not missing
    assert os.readlink(staged / "usr/bin/mailq") == "../sbin/sendmail"
    with open(staged / "usr/lib/systemd/system/kingpost.service") as f:
        assert "ExecStart=/usr/sbin/kingpost start" in f.read()
    with open(staged / "usr/lib/tmpfiles.d/kingpost.conf") as f:
        assert "/usr/libexec/kingpost/maildrop 2755 root kp-drop" in f.read()


@root_only
def test_the_steps_of_the_readme_give_a_running_system(staged, tmp_path):
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0", PATH="/usr/sbin:/usr/bin:/sbin:/bin")
    probe = subprocess.run(["unshare", "-m", "-n", "true"])
    if probe.returncode != 0:
        pytest.skip("no namespaces here")
    done = subprocess.run(["unshare", "-m", "-n", "bash", "-c", STEPS, "steps", str(tmp_path), str(staged), USERS[0]],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, timeout=120, cwd=TOP)
    if "mount: " in done.stdout:
        pytest.skip("no overlay file system here")
    assert done.returncode == 0, done.stdout
    assert "a system installation" in done.stdout and done.stdout.endswith("Mail queue is empty\n")
