/* SPDX-License-Identifier: ISC */
/* kingpost block: the addresses, networks and accounts that limiter keeps out. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "control/kingpost.h"
#include "lib/base/mem.h"

/* What a word names: an address, a network ("192.0.2.0/24"), else a login. */
static const char *
kind_of(const char *word)
{
	unsigned char ip[16];

	if (strchr(word, '@') == NULL && strchr(word, '/') != NULL)
		return "network";
	return inet_pton(AF_INET, word, ip) == 1 || inet_pton(AF_INET6, word, ip) == 1 ? "address"
										       : "login";
}

int
cmd_block_list(struct kingpost *k, int argc, char **argv)
{
	uint64_t n;

	(void)argv;
	return argc != 1 ? EX_USAGE : client_explain(k, "limiter", "block list", "", &n);
}

int
cmd_block_remove(struct kingpost *k, int argc, char **argv)
{
	int status = EX_OK;

	if (argc < 2)
		return EX_USAGE;
	for (int i = 1; i < argc && status == EX_OK; i++) {
		char *what = xasprintf("%s %s", kind_of(argv[i]), argv[i]);
		uint64_t n = 0;
		status = client_explain(k, "limiter", "block remove", what, &n);
		if (status == EX_OK && n == 0) {
			complain("%s is not blocked", what);
			status = EX_NOUSER;
		}
		free(what);
	}
	return status;
}

int
cmd_block_add(struct kingpost *k, int argc, char **argv)
{
	uint64_t n = 0;

	if (argc != 2 && argc != 3)
		return EX_USAGE;
	char *what = xasprintf(
	    "%s %s %s", kind_of(argv[1]), argv[1], argc == 3 ? argv[2] : "by the operator");
	int status = client_explain(k, "limiter", "block add", what, &n);
	if (status == EX_OK && n == 0)
		complain("%s is blocked already", argv[1]);
	free(what);
	return status;
}
