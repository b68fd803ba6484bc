/* SPDX-License-Identifier: ISC */
/* newaliases: builds the lmdb tables that alias_maps names, each whole or not at all. Silent,
 * unless -v asks for sendmail's summary. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "lib/base/why.h"
#include "lib/table/build.h"
#include "sendmail-compat/sendmail.h"
#include "settings/all.h"

enum { ERRORS_MAX = 256 * 1024 };

static int
build(const struct options *o, const char *path)
{
	struct buf warnings = {.max = ERRORS_MAX};
	struct build_report report = {.warnings = &warnings};
	struct why why = {0};
	int result = alias_build(path, &report, &why);

	fputs(buf_cstr(&warnings), stderr);
	if (result == -1)
		complain(o->name, why.text);
	else if (o->verbose)
		printf("%s: %zu aliases, longest %zu bytes, %zu bytes total\n", path, report.count,
		    report.longest, report.total);
	buf_free(&warnings);
	return result == 0 ? EX_OK : why.class == WHY_PERM ? EX_DATAERR : EX_CANTCREAT;
}

/* A path of the configuration that does not begin with a slash lies below the instance's root. */
static int
build_below(const struct options *o, const struct layout *layout, const char *path)
{
	char full[PATH_MAX];

	if (path[0] == '/')
		return build(o, path);
	if (snprintf(full, sizeof full, "%s/%s", layout->root, path) >= (int)sizeof full) {
		complain(o->name, "the path of an alias file is too long");
		return EX_CONFIG;
	}
	return build(o, full);
}

int
newaliases(const struct options *o, const struct layout *layout)
{
	struct settings_all all;
	struct buf errors = {.max = ERRORS_MAX};
	struct setting_list maps = {0};
	struct why why;
	int status = EX_OK;

	settings_all_init(&all, layout);
	struct config *config = config_load(&all.tables, layout->config, NULL, &errors);
	if (config_faults(config) > 0) {
		fputs(buf_cstr(&errors), stderr);
		complain(o->name, "the configuration has faults");
		status = EX_CONFIG;
		goto done;
	}
	const struct setting *row = config_row(config, 0, STR("alias_maps"));
	const struct setting list_row = {.name = row->name, .type = SETTING_LIST};
	if (setting_set(&list_row, &maps, str_from(config_value(config, 0, row, NULL)), &why) ==
	    -1) {
		complain(o->name, why.text);
		status = EX_CONFIG;
	}
	for (size_t i = 0; i < maps.n && status == EX_OK; i++)
		if (strncmp(maps.items[i], "lmdb:", 5) == 0)
			status = build_below(o, layout, maps.items[i] + 5);
done:
	for (size_t i = 0; i < maps.n; i++)
		free(maps.items[i]);
	free(maps.items);
	config_free(&config);
	buf_free(&errors);
	return status;
}
