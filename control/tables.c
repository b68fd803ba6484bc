/* SPDX-License-Identifier: ISC */
/* map and address: building tables, asking them, and showing what router makes of an address. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "control/kingpost.h"
#include "lib/base/why.h"
#include "lib/table/build.h"
#include "lib/table/table.h"

enum { WARNINGS_MAX = 1024 * 1024 };

int
cmd_map_build(struct kingpost *k, int argc, char **argv)
{
	int status = EX_OK;

	(void)k;
	if (argc < 2)
		return EX_USAGE;
	for (int i = 1; i < argc; i++) {
		struct buf warnings = {.max = WARNINGS_MAX};
		struct build_report report = {.warnings = &warnings};
		struct why why;
		const char *path = strncmp(argv[i], "lmdb:", 5) == 0 ? argv[i] + 5 : argv[i];
		if (map_build(path, &report, &why) == -1) {
			complain("%s", why.text);
			status = why.class == WHY_PERM ? EX_DATAERR : EX_CANTCREAT;
		}
		fputs(buf_cstr(&warnings), stderr);
		buf_free(&warnings);
	}
	return status;
}

int
cmd_map_query(struct kingpost *k, int argc, char **argv)
{
	struct why why;
	struct buf out = {.max = TABLE_VALUE_MAX};
	int status = EX_OK;

	if (argc != 3)
		return EX_USAGE;
	struct table *t = table_open(str_from(argv[1]), k->layout.root, &why);
	if (t == NULL) {
		complain("%s", why.text);
		return EX_USAGE;
	}
	int found = table_lookup(t, str_from(argv[2]), NULL, &out, &why);
	if (found == TABLE_FOUND) {
		printf("%s\n", buf_cstr(&out));
	} else if (found == TABLE_NONE) {
		status = 1; /* as postmap -q */
	} else {
		complain("%s", why.text);
		status = EX_TEMPFAIL;
	}
	buf_free(&out);
	table_free(&t);
	return status;
}

int
cmd_address_test(struct kingpost *k, int argc, char **argv)
{
	int status = EX_OK;

	if (argc < 2)
		return EX_USAGE;
	for (int i = 1; i < argc && status == EX_OK; i++)
		status = client_explain(k, "router", "address", argv[i], NULL);
	return status;
}
