/* SPDX-License-Identifier: ISC */
/* Dovecot's auth service as a backend (smtpd_sasl_type = dovecot): it leads every mechanism. */
#ifndef KEEPER_DOVECOT_H
#define KEEPER_DOVECOT_H

#include <stdbool.h>

struct auth;
struct buf;
struct dovecot;
struct mechanism;

/* Connects to smtpd_sasl_path, and again whenever it is lost. */
struct dovecot *dovecot_new(struct auth *a);
void dovecot_free(struct dovecot **dp);

/* Whether it is there, and is the one at this path. */
bool dovecot_is_at(const struct dovecot *d, const char *path);

/* What it has announced; nothing while it is away. */
bool dovecot_has(const struct dovecot *d, const char *mechanism);
void dovecot_list(const struct dovecot *d, struct buf *names, struct buf *plain);

extern const struct mechanism dovecot_mechanism;

#endif
