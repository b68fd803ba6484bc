/* SPDX-License-Identifier: ISC */
/*
 * kingpost account: what to do with the mail of a login that sent far more than it usually does.
 * limiter's reason begins with "account LOGIN:"; the messages that bear it are acted on in the
 * queue.
 */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "control/kingpost.h"
#include "lib/base/mem.h"

int
cmd_account_act(struct kingpost *k, int argc, char **argv)
{
	char release[] = "release", delete[] = "delete";
	char queue[] = "--queue", hold[] = "hold", because[] = "--reason";

	if (argc != 2 || argv[1][0] == '\0')
		return EX_USAGE;
	char *reason = xasprintf("account %s:", argv[1]);
	char *words[] = {
	    strcmp(argv[0], "purge") == 0 ? delete : release, queue, hold, because, reason, NULL};
	int status = cmd_queue_act(k, (int)NELEM(words) - 1, words);
	free(reason);
	return status;
}
