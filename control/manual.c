/* SPDX-License-Identifier: ISC */
/* manual settings: the manual page of the configuration, made from the settings tables. It is run
 * by the build. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "control/kingpost.h"

/* Text for troff: a backslash is \e, and a dot or quote at the start of a line is hidden. */
static void
print_troff(const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '\\')
			fputs("\\e", stdout);
		else if (*p == '-')
			fputs("\\-", stdout);
		else
			putchar(*p);
	}
}

static const char *
type_name(const struct setting *row)
{
	static const char *const names[] = {
	    [SETTING_TIME] = "time",
	    [SETTING_SIZE] = "size",
	    [SETTING_INT] = "number",
	    [SETTING_BOOL] = "yes or no",
	    [SETTING_TEXT] = "text",
	    [SETTING_COMMAND] = "command",
	    [SETTING_LIST] = "list",
	    [SETTING_WORD] = "one of: ",
	};

	return names[row->type];
}

static void
print_setting(const struct setting *row)
{
	printf(".TP\n.B ");
	print_troff(row->name);
	printf("\n(%s%s", type_name(row),
	    row->type == SETTING_LIST && row->words != NULL ? " of: " : "");
	for (size_t i = 0; row->words != NULL && row->words[i] != NULL; i++) {
		fputs(i > 0 ? ", " : "", stdout);
		print_troff(row->words[i]);
	}
	printf("; default: ");
	print_troff(row->def[0] != '\0' ? row->def : "empty");
	printf(")\n.br\n\\&");
	print_troff(row->help);
	printf(".\n");
}

static void
print_table(const struct settings *table, const char *heading)
{
	printf(".SS ");
	print_troff(heading);
	putchar('\n');
	for (size_t i = 0; i < table->n; i++)
		print_setting(&table->rows[i]);
}

/* All tables, or those of one program: its own and the common one. */
int
cmd_manual(struct kingpost *k, int argc, char **argv)
{
	const struct config_tables *t = &k->all.tables;
	const char *program = argc == 2 ? argv[1] : NULL;
	bool found = program == NULL;

	if (argc > 2)
		return EX_USAGE;
	if (program == NULL)
		print_table(t->common, "All programs");
	for (const struct settings *const *p = t->programs; *p != NULL; p++)
		if (program == NULL || strcmp(program, (*p)->program) == 0) {
			print_table(*p, (*p)->program);
			found = true;
		}
	if (program == NULL)
		print_table(t->service, "Inside a service section only");
	if (!found)
		complain("there is no program %s", program);
	return found ? EX_OK : EX_USAGE;
}
