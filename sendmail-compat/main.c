/* SPDX-License-Identifier: ISC */
/*
 * sendmail, mailq and newaliases: one program, by the name it is called under.
 *
 * Privilege: the caller's, none of its own. Hostile: nothing it could harm; but its callers'
 * surroundings are odd (closed descriptors, strange umasks and limits, signals ignored), and it
 * must work in all of them.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "sendmail-compat/sendmail.h"

static const char usage_text[] =
    "usage: sendmail [-bm|-bs|-bp|-bi|-bv|-q] [-t] [-i] [-v] [-f sender] [-F name]\n"
    "                [-N notify] [-R ret] [-V envid] [-B body] [--] recipient ...\n";

/* Descriptors 0 to 2 exist from here on, so that no socket of ours becomes standard output. */
static void
settle_descriptors(void)
{
	int fd;

	while ((fd = open("/dev/null", O_RDWR)) != -1 && fd <= STDERR_FILENO)
		;
	if (fd > STDERR_FILENO)
		close(fd);
}

static int
deliver(struct options *o, const struct layout *layout, char **argv)
{
	struct message m;
	struct why why = {0};
	int status;

	if (message_make(&m, o, argv, &why) == 0) {
		status = submit(&m, layout);
	} else {
		complain(o->name, why.text);
		status = exit_status(&why);
	}
	message_clear(&m);
	return status;
}

int
main(int argc, char **argv)
{
	struct options o;
	struct layout layout;
	struct why why;

	settle_descriptors();
	umask(022);
	if (options_parse(&o, argc, argv) == -1) {
		fputs(usage_text, stderr);
		return EX_USAGE;
	}
	if (layout_find(&layout, &why) == -1)
		fatal("%s", why.text);
	switch (o.mode) {
	case MODE_DELIVER:
		return deliver(&o, &layout, argv);
	case MODE_SMTP:
		return session_relay(&o, &layout, argv);
	case MODE_VERIFY:
		return session_verify(&o, &layout, argv);
	case MODE_LIST:
		return mailq(&o, &layout);
	case MODE_FLUSH:
		return flush(&o, &layout);
	case MODE_ALIASES:
		return newaliases(&o, &layout);
	case MODE_VERSION:
		printf("kingpost sendmail, version %s\n", KP_VERSION);
		return EX_OK;
	}
	return EX_SOFTWARE;
}
