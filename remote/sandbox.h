/* SPDX-License-Identifier: ISC */
/* What remote may do. */
#ifndef REMOTE_SANDBOX_H
#define REMOTE_SANDBOX_H

struct sandbox;

extern const struct sandbox remote_sandbox;

#endif
