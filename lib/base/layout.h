/* SPDX-License-Identifier: ISC */
/*
 * Where an instance lies. A system installation uses the system's folders; a private one has
 * everything below its root. A program finds out by where its own file is, so that no option and no
 * environment is needed, or believed.
 */
#ifndef KP_BASE_LAYOUT_H
#define KP_BASE_LAYOUT_H

#include <limits.h>

#include "lib/base/attr.h"

struct why;

struct layout {
	char root[PATH_MAX];     /* of a private instance; "" for the system's */
	char config[PATH_MAX];   /* kingpost.conf */
	char aliases[PATH_MAX];  /* the default alias file */
	char programs[PATH_MAX]; /* folder of the daemons */
	char spool[PATH_MAX];    /* queue and maildrop are below */
	char run[PATH_MAX];      /* sockets, master.pid */
	char log[PATH_MAX];
};

/* From the path of the running program. -1 with `why`. */
int layout_find(struct layout *l, struct why *why) KP_MUST_USE;

/* For an instance whose root is given ("": the system's). */
int layout_of(struct layout *l, const char *root, struct why *why) KP_MUST_USE;

#endif
