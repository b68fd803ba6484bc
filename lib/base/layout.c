/* SPDX-License-Identifier: ISC */
/* The two layouts, as one table of suffixes. */
#include "lib/base/layout.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/why.h"

static const struct {
	size_t offset;
	const char *private, *system;
} places[] = {
    {offsetof(struct layout, config),   "/etc/kingpost/kingpost.conf", "/etc/kingpost/kingpost.conf"},
    {offsetof(struct layout, aliases),  "/etc/aliases",                "/etc/aliases"               },
    {offsetof(struct layout, programs), "/libexec/kingpost",           KP_PROGRAMDIR                },
    {offsetof(struct layout, spool),    "/spool",                      "/var/spool/kingpost"        },
    {offsetof(struct layout, run),      "/run",                        "/run/kingpost"              },
    {offsetof(struct layout, log),      "/log",                        "/var/log/kingpost"          },
};

int
layout_of(struct layout *l, const char *root, struct why *why)
{
	*l = (struct layout){0};
	if (snprintf(l->root, sizeof l->root, "%s", root) >= (int)sizeof l->root)
		return why_perm(why, NULL, "the path %.60s... is too long", root);
	for (size_t i = 0; i < NELEM(places); i++) {
		char *to = (char *)l + places[i].offset;
		int n = root[0] != '\0' ? snprintf(to, PATH_MAX, "%s%s", root, places[i].private)
					: snprintf(to, PATH_MAX, "%s", places[i].system);
		if (n < 0 || n >= PATH_MAX)
			return why_perm(why, NULL, "the path %.60s... is too long", root);
	}
	return 0;
}

/* Cuts the last `n` components off. */
static void
go_up(char *path, int n)
{
	for (char *slash; n > 0 && (slash = strrchr(path, '/')) != NULL; n--)
		*slash = '\0';
}

int
layout_find(struct layout *l, struct why *why)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

	if (n == -1)
		return why_sys(why, NULL, "find out where this program is");
	path[n] = '\0';
	go_up(path, 1);
	if (strcmp(path, KP_SBINDIR) == 0 || strcmp(path, KP_BINDIR) == 0 ||
	    strcmp(path, KP_PROGRAMDIR) == 0)
		return layout_of(l, "", why);
	/* ROOT/sbin/sendmail, ROOT/bin/mailq, or ROOT/libexec/kingpost/smtpd */
	const char *last = strrchr(path, '/');
	go_up(path, last != NULL && strcmp(last, "/kingpost") == 0 ? 2 : 1);
	return layout_of(l, path, why);
}
