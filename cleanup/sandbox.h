/* SPDX-License-Identifier: ISC */
/* cleanup's privileges. */
#ifndef CLEANUP_SANDBOX_H
#define CLEANUP_SANDBOX_H

struct sandbox;

extern const struct sandbox cleanup_sandbox;

#endif
