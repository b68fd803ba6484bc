/* SPDX-License-Identifier: ISC */
/* status: what runs, since when, and the counters. master sends a line of JSON a row; --json passes
 * them on, else they become tables. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "control/kingpost.h"
#include "lib/base/why.h"

struct view {
	bool json;
	bool workers, metrics; /* headings that have been printed */
};

static void
show_duration(json_int_t seconds, char *out, size_t size)
{
	if (seconds >= 86400)
		snprintf(out, size, "%lldd%lldh", (long long)seconds / 86400,
		    (long long)seconds % 86400 / 3600);
	else if (seconds >= 3600)
		snprintf(out, size, "%lldh%lldm", (long long)seconds / 3600,
		    (long long)seconds % 3600 / 60);
	else
		snprintf(out, size, "%lldm%llds", (long long)seconds / 60, (long long)seconds % 60);
}

static void
show_master(const json_t *row)
{
	char uptime[32];

	show_duration(json_integer_value(json_object_get(row, "uptime")), uptime, sizeof uptime);
	printf("kingpost %s, %s, pid %lld, up %s, configuration %lld\n\n",
	    json_string_value(json_object_get(row, "version")),
	    json_string_value(json_object_get(row, "state")),
	    (long long)json_integer_value(json_object_get(row, "pid")), uptime,
	    (long long)json_integer_value(json_object_get(row, "generation")));
}

static void
show_worker(struct view *v, const json_t *row)
{
	char uptime[32];

	if (!v->workers)
		printf("%-14s %-10s %7s %-9s %9s %9s\n", "SERVICE", "PROGRAM", "PID", "STATE", "UP",
		    "RESTARTS");
	v->workers = true;
	show_duration(json_integer_value(json_object_get(row, "uptime")), uptime, sizeof uptime);
	printf("%-14s %-10s %7lld %-9s %9s %9lld\n",
	    json_string_value(json_object_get(row, "service")),
	    json_string_value(json_object_get(row, "program")),
	    (long long)json_integer_value(json_object_get(row, "pid")),
	    json_string_value(json_object_get(row, "state")), uptime,
	    (long long)json_integer_value(json_object_get(row, "restarts")));
}

static void
show_metric(struct view *v, const json_t *row)
{
	json_int_t value = json_integer_value(json_object_get(row, "value"));
	const char *kind = json_string_value(json_object_get(row, "kind"));

	if (!v->metrics)
		putchar('\n');
	v->metrics = true;
	printf("%-42s %14lld", json_string_value(json_object_get(row, "name")), (long long)value);
	if (kind != NULL && strcmp(kind, "gauge") != 0)
		printf(" %10.1f/s", json_real_value(json_object_get(row, "rate")));
	if (kind != NULL && strcmp(kind, "histogram") == 0 && value > 0)
		printf(
		    "   mean %.3f ms", (double)json_integer_value(json_object_get(row, "sum_us")) /
					   (double)value / 1000);
	putchar('\n');
}

static void
on_row(void *arg, enum msg_type type, union msg_any *msg)
{
	struct view *v = arg;
	json_error_t error;

	if (type != MSG_CONTROL_TEXT)
		return;
	struct str text = msg->control_text.text;
	if (v->json) {
		printf("%.*s\n", STR_ARG(text));
		return;
	}
	json_t *row = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &error);
	const char *kind = json_string_value(json_object_get(row, "type"));
	if (kind != NULL && strcmp(kind, "master") == 0)
		show_master(row);
	else if (kind != NULL && strcmp(kind, "worker") == 0)
		show_worker(v, row);
	else if (kind != NULL && strcmp(kind, "metric") == 0)
		show_metric(v, row);
	json_decref(row);
}

int
cmd_status(struct kingpost *k, int argc, char **argv)
{
	struct view v = {.json = argc > 1 && strcmp(argv[1], "--json") == 0};
	struct msg_control request = {.verb = STR("status")};
	struct why why;

	if (argc > 1 && !v.json)
		return EX_USAGE;
	struct chan_client *c = client_connect(k, "control", &why);
	int result = c != NULL ? client_ask(c, MSG_CONTROL, &request, on_row, &v, NULL, &why) : -1;
	chan_client_free(&c);
	if (result == 0)
		return EX_OK;
	complain("%s", why.text);
	return 3; /* as init scripts say "not running" */
}
