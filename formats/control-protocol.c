/* SPDX-FileCopyrightText: 2026 The preheat authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "formats/control-protocol.h"

#include <stddef.h>

#include <glib.h>

static bool find_name(const char *const *names, size_t n_names,
                      const char *name, size_t *ret_index)
{
    for (size_t i = 0; i < n_names; i++) {
        if (g_strcmp0(name, names[i]) == 0) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

static const char *const load_policy_names[] = {
    [LOAD_POLICY_ORDER] = "order",
    [LOAD_POLICY_SEQUENTIAL] = "sequential",
    [LOAD_POLICY_DEMAND] = "demand",
    [LOAD_POLICY_FULL] = "full",
};

const char *load_policy_name(LoadPolicy policy)
{
    return load_policy_names[policy];
}

bool load_policy_from_name(const char *name, LoadPolicy *ret_policy)
{
    size_t index;

    if (!find_name(load_policy_names, G_N_ELEMENTS(load_policy_names), name,
                   &index)) {
        return false;
    }
    *ret_policy = (LoadPolicy)index;
    return true;
}

static const char *const load_rest_names[] = {
    [LOAD_REST_EAGER] = "eager",
    [LOAD_REST_IDLE] = "idle",
    [LOAD_REST_DEMAND] = "demand",
};

const char *load_rest_name(LoadRest rest)
{
    return load_rest_names[rest];
}

bool load_rest_from_name(const char *name, LoadRest *ret_rest)
{
    size_t index;

    if (!find_name(load_rest_names, G_N_ELEMENTS(load_rest_names), name,
                   &index)) {
        return false;
    }
    *ret_rest = (LoadRest)index;
    return true;
}

static const char *const load_cache_names[] = {
    [LOAD_CACHE_AUTO] = "auto",
    [LOAD_CACHE_DIRECT] = "direct",
    [LOAD_CACHE_BUFFERED] = "buffered",
};

const char *load_cache_name(LoadCache cache)
{
    return load_cache_names[cache];
}

bool load_cache_from_name(const char *name, LoadCache *ret_cache)
{
    size_t index;

    if (!find_name(load_cache_names, G_N_ELEMENTS(load_cache_names), name,
                   &index)) {
        return false;
    }
    *ret_cache = (LoadCache)index;
    return true;
}

static const char *const load_pack_names[] = {
    [LOAD_PACK_AUTO] = "auto",
    [LOAD_PACK_ALWAYS] = "always",
    [LOAD_PACK_NEVER] = "never",
};

const char *load_pack_name(LoadPack pack)
{
    return load_pack_names[pack];
}

bool load_pack_from_name(const char *name, LoadPack *ret_pack)
{
    size_t index;

    if (!find_name(load_pack_names, G_N_ELEMENTS(load_pack_names), name,
                   &index)) {
        return false;
    }
    *ret_pack = (LoadPack)index;
    return true;
}

static const char *const load_goal_names[] = {
    [LOAD_GOAL_HOT] = "hot",
    [LOAD_GOAL_ALL] = "all",
    [LOAD_GOAL_RECORDED] = "recording",
};

const char *load_goal_name(LoadGoal goal)
{
    return load_goal_names[goal];
}

bool load_goal_from_name(const char *name, LoadGoal *ret_goal)
{
    size_t index;

    if (!find_name(load_goal_names, G_N_ELEMENTS(load_goal_names), name,
                   &index)) {
        return false;
    }
    *ret_goal = (LoadGoal)index;
    return true;
}

static const char *const load_state_names[] = {
    [LOAD_STATE_IDLE] = "idle",           [LOAD_STATE_LOADING] = "loading",
    [LOAD_STATE_RECORDING] = "recording", [LOAD_STATE_FAILED] = "failed",
    [LOAD_STATE_LOADED] = "loaded",
};

const char *load_state_name(LoadState state)
{
    return load_state_names[state];
}

bool load_state_from_name(const char *name, LoadState *ret_state)
{
    size_t index;

    if (!find_name(load_state_names, G_N_ELEMENTS(load_state_names), name,
                   &index)) {
        return false;
    }
    *ret_state = (LoadState)index;
    return true;
}

static const char *const milestone_names[] = {
    [MILESTONE_QEMU_READY] = "qemu-ready",
    [MILESTONE_DEVICE_STATE] = "device-state",
    [MILESTONE_RESUMED] = "resumed",
    [MILESTONE_PAUSED] = "paused",
    [MILESTONE_ORDER_DONE] = "order-done",
    [MILESTONE_LOADED] = "loaded",
};

const char *milestone_name(Milestone milestone)
{
    return milestone_names[milestone];
}

bool milestone_from_name(const char *name, Milestone *ret_milestone)
{
    size_t index;

    if (!find_name(milestone_names, G_N_ELEMENTS(milestone_names), name,
                   &index)) {
        return false;
    }
    *ret_milestone = (Milestone)index;
    return true;
}

static const char *const profile_state_names[] = {
    [PROFILE_NONE] = "none",
    [PROFILE_OPEN] = "profiling",
    [PROFILE_CLOSING] = "closing",
    [PROFILE_DONE] = "done",
};

const char *profile_state_name(ProfileState state)
{
    return profile_state_names[state];
}

bool profile_state_from_name(const char *name, ProfileState *ret_state)
{
    size_t index;

    if (!find_name(profile_state_names, G_N_ELEMENTS(profile_state_names), name,
                   &index)) {
        return false;
    }
    *ret_state = (ProfileState)index;
    return true;
}
