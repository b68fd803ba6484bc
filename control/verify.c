/* SPDX-License-Identifier: ISC */
/* kingpost verify: what limiter knows of addresses by probes. */
#include <sysexits.h>

#include "control/kingpost.h"

static int
for_each(struct kingpost *k, int argc, char **argv, const char *what)
{
	int status = EX_OK;

	if (argc < 2)
		return EX_USAGE;
	for (int i = 1; i < argc && (status == EX_OK || status == EX_NOUSER); i++) {
		uint64_t n = 0;
		int one = client_explain(k, "limiter", what, argv[i], &n);
		if (one == EX_OK && n == 0) {
			complain("%s: nothing is known", argv[i]);
			one = EX_NOUSER;
		}
		status = one != EX_OK ? one : status;
	}
	return status;
}

int
cmd_verify_show(struct kingpost *k, int argc, char **argv)
{
	return for_each(k, argc, argv, "verify show");
}

int
cmd_verify_forget(struct kingpost *k, int argc, char **argv)
{
	return for_each(k, argc, argv, "verify forget");
}
