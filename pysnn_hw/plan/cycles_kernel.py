# SPDX-License-Identifier: BSD-2-Clause
"""The registers of `pysnn_hw.plan.cycles`, stepped cycle by cycle in compiled code.

All of it is in this file: numba caches machine code by the source file of the outermost function.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pysnn_hw.plan.layers import COPIES
from pysnn_hw.plan.tokens import PROBE, STEP

NO_JUDGE, EARLY_EXIT, SAMPLER = 0, 1, 2
"""What stands between the scores of every timestep and the readout."""

SETTLING = 6
"""`Sampler.settling`: cycles from a step's last score until its vote is counted."""

STATUS_LATENCY = 2
"""Cycles from the end of an image at the encoder until the readout knows its status."""


@njit(cache=True)
def run(  # type: ignore[no-untyped-def]
    sends,
    first_input,
    last_input,
    encoder_depth,
    source,
    core,
    room,
    split,
    first_token,
    steps,
    splits,
    fires,
    repeats,
    words,
    scan_depth,
    pool_depth,
    reread,
    two_stages,
    settle,
    first_word,
    sent,
    lanes,
    judge,
    exits,
    probes,
    shared,
    below,
    clears,
    first_run,
    runs,
    run_first,
    run_cycles,
    run_words,
    run_sends,
    run_keeps,
    collector_words,
    timesteps,
    accepted,
    finished,
):
    """Steps the registers of the chain until every image has left; False if it never does.

    Register names follow the components. Each cycle: senders first (serializers, fire pipelines,
    encoder), on queue states of the cycle before; then queues, walkers and phases.
    """
    ports, cores, images = len(source), len(fires), len(accepted)
    end, none = -2, -1  # entries of the scan pipeline that are no word

    # Queues and walkers.
    level = np.zeros(ports, np.int64)
    latched = np.zeros(ports, np.bool_)
    registered = np.zeros(ports, np.bool_)
    offered = np.zeros(ports, np.bool_)
    set_aside = np.zeros(ports, np.bool_)
    left_queue = np.zeros(ports, np.int64)
    push = np.zeros(ports, np.bool_)
    taken = np.zeros(ports, np.bool_)
    split_valid = np.zeros(ports, np.bool_)
    split_token = np.zeros(ports, np.int64)
    split_left = np.zeros(ports, np.int64)
    lookup_valid = np.zeros(ports, np.bool_)
    lookup_token = np.zeros(ports, np.int64)
    sum_valid = np.zeros(ports, np.bool_)
    sum_token = np.zeros(ports, np.int64)
    busy = np.zeros(ports, np.bool_)
    mark = np.zeros(ports, np.bool_)
    mark_kind = np.zeros(ports, np.int64)
    remain = np.zeros(ports, np.int64)

    # Phases: 0 reset, 1 init, 2 accumulate, 3 fire or send, 4 resume.
    phase = np.zeros(cores, np.int64)
    issuing = np.zeros(cores, np.bool_)
    left = settle.copy()
    repeat = np.zeros(cores, np.int64)
    running = np.zeros(cores, np.bool_)
    ending = np.zeros(cores, np.bool_)
    count = np.zeros(cores, np.int64)
    base = first_word.copy()  # row of the running scan's first word
    scan = np.full((cores, scan_depth.max()), none, np.int64)
    skid = np.full(cores, none, np.int64)
    spare = np.full(cores, none, np.int64)
    pool = np.full((cores, max(1, pool_depth.max())), none, np.int64)
    # Window reader: 0 fills, 1 reads, 2 sends the marker; what stands in its two stages.
    reader = np.zeros(cores, np.int64)
    reader_next = first_word.copy()
    reader_count = np.zeros(cores, np.int64)
    fetched = np.full(cores, none, np.int64)
    read_out = np.full(cores, none, np.int64)
    done = np.zeros(cores, np.bool_)
    done_next = np.zeros(cores, np.bool_)
    can = shared[core].copy()  # the queue, or the collector, is ready
    # Shared cores: 0 clears, 1 finds and 2 loads a layer, 3 waits, 4 works out where it lies,
    # 5 accumulates, 6 begins to fire, 7 fires. Which of the image's runs, what is left of it.
    program = np.zeros(cores, np.int64)
    clearing = clears.copy()
    turn = first_run.copy()
    accumulating = np.zeros(cores, np.int64)
    writes = np.zeros(cores, np.bool_)  # its memory is being written
    # Collectors: the event that is held, whether one is set aside behind it, the word that is
    # filled, whether an image was begun, images that lie there.
    holds = np.zeros(ports, np.bool_)
    takes = np.zeros(ports, np.bool_)
    held_event = np.zeros(ports, np.int64)
    at = np.zeros(ports, np.int64)
    begun = np.zeros(ports, np.bool_)
    stock = np.zeros(ports, np.int64)
    fills = np.zeros(ports, np.bool_)
    # Serializer: parts of the held word, values of the held part.
    held_word = np.zeros(cores, np.int64)
    parts_left = np.zeros(cores, np.int64)
    part = np.zeros(cores, np.int64)
    values_left = np.zeros(cores, np.int64)
    out_valid = np.zeros(cores, np.bool_)
    between, aside = np.zeros(cores, np.int64), np.zeros(cores, np.int64)
    # Shared cores: words that wait for the serializer (in memory, in its latch, on offer, set
    # aside), whether there is room for more, and the skid buffer behind the serializer.
    # As many as `WordQueue` and its skid buffer hold, which follows from when it still has room.
    places = below.max() + scan_depth.max() + 4
    waiting = np.zeros((cores, places), np.int64)
    came, went = np.zeros(cores, np.int64), np.zeros(cores, np.int64)
    held_words = np.zeros(cores, np.int64)
    word_latched = np.zeros(cores, np.bool_)
    word_offered = np.zeros(cores, np.bool_)
    word_aside = np.zeros(cores, np.bool_)
    sending_word = np.full(cores, none, np.int64)
    has_room = np.zeros(cores, np.bool_)
    skid_valid = np.zeros(cores, np.bool_)
    skid_spare = np.zeros(cores, np.bool_)

    # Encoder (-1 nothing, 0 silent integer, 1 event or marker) and readout.
    taken_inputs, accepted_images = 0, 0
    encode = np.full(encoder_depth, -1, np.int64)
    known, told, known_at = 0, 0, np.zeros(images, np.int64)
    # Between core and readout, if all steps are read: shifter, judge and store. The judge: 0 takes
    # scores, 1 subtracts or settles (while ``waits`` is left), 2 decides, 3 waits for the store.
    final, probing = False, probes
    word_held, word_lane, word_last, word_final = False, 0, False, False
    verdict, waits, judged_final, frozen, judged, step = 0, 0, False, False, 0, 0
    busy_store, silent, place = False, False, 0
    if judge == SAMPLER:
        verdict, busy_store, silent = 3, True, True
    classes = words[cores - 1] * lanes[cores - 1]
    filled, lane, last_word = False, 0, False
    score_valid, score_last, best_valid, best_last = False, False, False, False
    out_score, out_last = False, False
    results = 0

    limit = 1000 + 64 * (len(steps) + len(sends) + len(sent)) + 64 * steps.clip(0).sum()
    limit += 8 * splits.sum() * max(1, steps.max())
    limit += 4 * (run_cycles.sum() + run_words.sum() + clears.sum())
    cycle = 0
    while results < images:
        if cycle > limit:
            return False
        push[:] = False

        # Encoder.
        ready, any_consumer = True, False
        for q in range(ports):
            if source[q] == -1:
                any_consumer = True
                if not (taken[q] or can[q]):
                    ready = False
        valid = encode[-1] == 1
        if valid and any_consumer:
            for q in range(ports):
                if source[q] == -1:
                    if not taken[q] and can[q]:
                        push[q] = True
                    taken[q] = (taken[q] or can[q]) and not ready
        if ready or not valid:
            if known < len(last_input) and taken_inputs - 1 == last_input[known]:
                known_at[known] = cycle + STATUS_LATENCY
                known += 1
            for k in range(encoder_depth - 1, 0, -1):
                encode[k] = encode[k - 1]
            encode[0] = -1
            if taken_inputs < len(sends):
                if accepted_images < images and taken_inputs == first_input[accepted_images]:
                    accepted[accepted_images] = cycle
                    accepted_images += 1
                encode[0] = 1 if sends[taken_inputs] else 0
                taken_inputs += 1

        # Fire pipelines, pooling, serializers.
        for c in range(cores):
            done[c] = done_next[c]
            done_next[c] = False
            depth = scan_depth[c]
            emit = scan[c, depth - 1]
            initial = phase[c] <= 1
            if fires[c]:
                ready = True
                for q in range(ports):
                    if source[q] == c and not (taken[q] or can[q]):
                        ready = False
                if (skid_valid if shared[c] else out_valid)[c]:
                    for q in range(ports):
                        if source[q] == c:
                            if not taken[q] and can[q]:
                                push[q] = True
                            taken[q] = (taken[q] or can[q]) and not ready
                move = ready or not out_valid[c]
                if shared[c]:
                    move = not (out_valid[c] and skid_spare[c])
                    if ready or not skid_valid[c]:
                        skid_valid[c] = skid_spare[c] or out_valid[c]
                        skid_spare[c] = False
                    elif out_valid[c]:
                        skid_spare[c] = True
                values_ready = (move and values_left[c] <= 1) or values_left[c] == 0
                if move:
                    out_valid[c] = values_left[c] > 0
                # What the last stage takes from the one before.
                part_ready = values_ready
                if two_stages[c]:
                    # In shared cores a skid buffer stands between parts and values.
                    part_ready = aside[c] == 0 if shared[c] else values_ready
                    word_ready = (part_ready and parts_left[c] <= 1) or parts_left[c] == 0
                    offered_part = 0
                    if parts_left[c] > 0 and part_ready:
                        offered_part = 1
                        if held_word[c] != end:
                            while sent[held_word[c], part[c]] == 0:
                                part[c] += 1
                            offered_part = sent[held_word[c], part[c]]
                            part[c] += 1
                    next_part = between[c] if shared[c] else offered_part
                    if shared[c]:
                        if values_ready or between[c] == 0:
                            between[c] = aside[c] if aside[c] > 0 else offered_part
                            aside[c] = 0
                        elif offered_part > 0:
                            aside[c] = offered_part
                    if values_ready:
                        values_left[c] = next_part
                    elif move:
                        values_left[c] -= 1
                else:
                    word_ready = values_ready
                    if not values_ready and move:
                        values_left[c] -= 1
                # What the serializer takes: from pooling, or straight from the skid buffer.
                stages = pool_depth[c]
                sending = emit != none and not initial
                offer = skid[c]
                skid_taken = word_ready
                if shared[c]:
                    # Nothing stops the pipeline: words wait in a queue.
                    writes[c] = emit >= 0 and run_keeps[turn[c]]
                    offer = waiting[c, went[c] % places] if word_offered[c] else none
                    advance = has_room[c]
                    total = held_words[c] + int(word_latched[c])
                    has_room[c] = total < below[c]
                    if word_offered[c] and word_ready:
                        went[c] += 1
                    read = not word_aside[c]
                    inner = held_words[c] != 0 and ((not word_latched[c]) or read)
                    moved = read and word_latched[c]
                    if word_ready or not word_offered[c]:
                        word_offered[c] = word_aside[c] or moved
                        word_aside[c] = False
                    elif moved:
                        word_aside[c] = True
                    if inner:
                        word_latched[c] = True
                    elif read:
                        word_latched[c] = False
                    held_words[c] -= int(inner)
                    if sending_word[c] != none:
                        held_words[c] += 1
                        waiting[c, came[c] % places] = sending_word[c]
                        came[c] += 1
                    sending_word[c] = none
                    some = emit == end or (emit != none and sent[emit].sum() > 0)
                    if some and run_sends[turn[c]]:
                        sending_word[c] = emit
                    sending = False
                elif stages:
                    offer = pool[c, stages - 1]
                    moves = word_ready or offer == none
                    fed, skid_taken = skid[c], moves
                    if reread[c]:
                        fed = read_out[c]
                        state = reader[c]
                        skid_taken = state == 0 and skid[c] != end
                        if state == 0 and skid[c] == end:
                            reader[c] = 1
                        if moves or fed == none:
                            read_out[c], fetched[c] = fetched[c], none
                            if state == 1:
                                fetched[c] = reader_next[c]
                                reader_next[c] += 1
                                reader_count[c] += 1
                                if reader_count[c] == reread[c]:
                                    reader[c], reader_count[c] = 2, 0
                            elif state == 2:
                                fetched[c], skid_taken = end, True
                                reader[c] = 0
                    if moves:
                        for k in range(stages - 1, 0, -1):
                            pool[c, k] = pool[c, k - 1]
                        pool[c, 0] = none
                        if fed != none and (fed == end or sent[fed].sum() > 0):
                            pool[c, 0] = fed
                elif sending and emit != end:
                    sending = sent[emit].sum() > 0
                if not shared[c]:
                    advance = (not sending) or spare[c] == none
                if skid_taken or skid[c] == none:
                    if spare[c] != none:
                        skid[c], spare[c] = spare[c], none
                    else:
                        skid[c] = emit if sending else none
                elif sending and spare[c] == none:
                    spare[c] = emit
                if word_ready:
                    if two_stages[c]:
                        parts_left[c], part[c] = 0, 0
                        if offer != none:
                            held_word[c] = offer
                            if offer == end:
                                parts_left[c] = 1
                            else:
                                for k in range(sent.shape[1]):
                                    parts_left[c] += sent[offer, k] > 0
                    else:
                        values_left[c] = 0
                        if offer != none:
                            values_left[c] = 1 if offer == end else sent[offer].sum()
                elif two_stages[c] and part_ready:
                    parts_left[c] -= 1
            else:
                # Readout: the host takes every score at once; the last one waits for the status.
                informed = not (best_valid and best_last)
                if not informed:
                    informed = len(last_input) == 0 or (told < known and cycle >= known_at[told])
                if out_score and out_last:
                    finished[results] = cycle
                    results += 1
                out_score, out_last = best_valid and informed, best_last
                final_lane = judge != NO_JUDGE or lane == lanes[c] - 1
                score_ready = (not filled) or (informed and final_lane)
                if informed:
                    told += best_valid and best_last
                    best_valid, best_last = score_valid, score_last
                    score_valid, score_last = filled, last_word and final_lane
                    lane += 1
                offer_valid = emit != none and emit != end and not initial
                word_ready = score_ready
                if judge != NO_JUDGE:
                    # Store: what it offers to the readout.
                    idle = not busy_store
                    stored, stored_last = busy_store and not silent, place == classes - 1
                    if busy_store and (silent or score_ready):
                        place += 1
                        if stored_last:
                            busy_store, silent, place = False, False, 0
                    # Judge: scores one by one.
                    collect, last_lane = verdict == 0, word_lane == lanes[c] - 1
                    word_ready = (not word_held) or (collect and last_lane)
                    if verdict == 0:
                        if word_held and last_lane and word_last:
                            step += 1
                            if frozen:
                                frozen = not word_final
                                if word_final:
                                    judged, step = judged + 1, 0
                            else:
                                judged_final = word_final
                                verdict, waits = 1, SETTLING if judge == SAMPLER else 1
                    elif verdict == 1:
                        waits -= 1
                        if waits == 0:
                            verdict = 2
                            if judge == SAMPLER and not judged_final:
                                verdict, step = 0, 0
                    elif verdict == 2:
                        verdict = 0
                        if judged_final or (judge == EARLY_EXIT and step == exits[judged]):
                            verdict, busy_store = 3, True
                            frozen = not judged_final
                            if judged_final:
                                judged, step = judged + 1, 0
                    elif idle:
                        verdict = 0
                    if word_ready:
                        word_held = offer_valid
                        word_last, word_final, word_lane = emit == words[c] - 1, final, 0
                    elif collect:
                        word_lane += 1
                if score_ready:
                    filled, last_word, lane = offer_valid, emit == words[c] - 1, 0
                    if judge != NO_JUDGE:
                        filled, last_word = stored, stored_last
                advance = (not offer_valid) or word_ready
            if advance or shared[c]:
                done_next[c] = emit == end
                for k in range(depth - 1, 0, -1):
                    scan[c, k] = scan[c, k - 1]
                scan[c, 0] = none
                if not advance:
                    pass
                elif running[c]:
                    scan[c, 0] = base[c] + count[c]
                    count[c] += 1
                    if count[c] == (run_words[turn[c]] if shared[c] else words[c]):
                        running[c], ending[c] = False, True
                        count[c] = 0
                elif ending[c]:
                    scan[c, 0] = end
                    ending[c] = False
            for q in range(ports):
                if shared[c] and core[q] == c:
                    # A collector: places the event that it holds, or writes the word before it.
                    token = steps[first_token[q] + held_event[q]]
                    active = holds[q] and (begun[q] or stock[q] < COPIES)
                    here = token == at[q]
                    written = active and not here and not writes[c]
                    ends = written and at[q] == collector_words[q] - 1
                    takes[q] = (not holds[q]) or (active and here) or ends
                    fills[q] = ends and token != STEP
                    if active:
                        begun[q] = True
                        writes[c] = writes[c] or not here
                    if written:
                        at[q] = 0 if ends else at[q] + 1
                    if fills[q]:
                        begun[q] = False

        # Phases, walkers, queues.
        for c in range(cores):
            if shared[c]:
                available = True
                for q in range(ports):
                    if core[q] == c:
                        available = available and stock[q] > 0
                at_end = False
                if program[c] == 0:
                    clearing[c] -= 1
                    if clearing[c] == 0:
                        program[c] = 1
                elif program[c] == 1:
                    program[c] = 2
                elif program[c] == 2:
                    program[c] = 3
                elif program[c] == 3:
                    if available:
                        program[c] = 4
                elif program[c] == 4:
                    accumulating[c] = run_cycles[turn[c]]
                    program[c] = 5 if accumulating[c] > 0 else 6
                elif program[c] == 5:
                    accumulating[c] -= 1
                    if accumulating[c] == 0:
                        program[c] = 6
                elif program[c] == 6:
                    base[c] = run_first[turn[c]]
                    running[c] = True
                    program[c] = 7
                elif done[c]:
                    same = (turn[c] - first_run[c] + 1) % timesteps != 0
                    at_end = (turn[c] - first_run[c] + 1) % runs[c] == 0
                    turn[c] += 1
                    program[c] = 3 if same else 1
                for q in range(ports):
                    if core[q] == c:
                        if takes[q]:
                            holds[q] = push[q] or set_aside[q]
                            held_event[q] = left_queue[q] - int(set_aside[q])
                            set_aside[q] = False
                        elif push[q]:
                            set_aside[q] = True
                        if push[q]:
                            left_queue[q] += 1
                        can[q] = not set_aside[q]
                        stock[q] += int(fills[q]) - int(at_end)
                continue
            arrived = True
            kind = STEP
            for q in range(ports):
                if core[q] == c:
                    arrived = arrived and mark[q]
                    kind = mark_kind[q]
            enable = phase[c] == 2
            settled = arrived and left[c] == 0
            resume = False
            start = False
            if phase[c] == 0:
                start = True
                phase[c] = 1
            elif phase[c] == 1:
                if done[c]:
                    resume = True  # after a probe, a readout's queues wait
                    phase[c] = 2
            elif phase[c] == 2:
                if settled:
                    if not fires[c] and kind == STEP and (judge == NO_JUDGE or probing):
                        phase[c] = 4
                    elif not fires[c] and kind == PROBE:
                        start, probing = True, False
                        phase[c] = 1
                    else:
                        if not fires[c]:
                            final = kind != STEP
                        start = True
                        repeat[c] = 0
                        phase[c] = 3
            elif phase[c] == 4:
                resume = True
                phase[c] = 2
            elif done[c]:
                if fires[c]:
                    base[c] += words[c]
                else:
                    probing = probes and final
                if not fires[c] or repeat[c] == repeats[c] - 1:
                    resume = True
                    phase[c] = 2
                else:
                    start = True
                    repeat[c] += 1
            if start:
                running[c] = True
            if (not arrived) or issuing[c]:
                left[c] = settle[c]
            elif left[c] > 0:
                left[c] -= 1
            issuing[c] = False
            granted = enable
            for q in range(ports):
                if core[q] != c:
                    continue
                step_ready = granted
                if granted and busy[q]:
                    issuing[c] = True
                    granted = False
                finishing = busy[q] and step_ready and remain[q] == 1
                if mark[q]:
                    load = sum_valid[q] and resume
                else:
                    load = sum_valid[q] and ((not busy[q]) or finishing)
                nothing = lookup_valid[q] and steps[lookup_token[q]] == 0
                sum_ready = (not sum_valid[q]) or load
                walker_ready = (not lookup_valid[q]) or sum_ready or nothing
                if busy[q] and step_ready:
                    remain[q] -= 1
                    if remain[q] == 0:
                        busy[q] = False
                if resume:
                    mark[q] = False
                if load:
                    token = steps[sum_token[q]]
                    busy[q] = token > 0
                    mark[q] = token < 0
                    mark_kind[q] = token
                    remain[q] = token
                if sum_ready:
                    sum_valid[q] = lookup_valid[q] and not nothing
                    sum_token[q] = lookup_token[q]
                head = first_token[q] + left_queue[q]
                if split[q]:
                    last_bit = split_left[q] <= 1
                    queue_ready = (not split_valid[q]) or (walker_ready and last_bit)
                    if walker_ready:
                        lookup_valid[q] = split_valid[q]
                        lookup_token[q] = split_token[q]
                    if queue_ready:
                        split_valid[q] = offered[q]
                        if offered[q]:
                            split_token[q] = head
                            split_left[q] = splits[head]
                    elif walker_ready:
                        split_left[q] -= 1
                else:
                    queue_ready = walker_ready
                    if walker_ready:
                        lookup_valid[q] = offered[q]
                        lookup_token[q] = head
                if offered[q] and queue_ready:
                    left_queue[q] += 1
                # Both registers behind the memory move, or neither; then comes a skid buffer.
                read = not set_aside[q]
                full = level[q] + int(latched[q]) + int(registered[q])
                moves = read or not registered[q]
                inner = moves and level[q] != 0
                arrives = read and registered[q]
                if queue_ready or not offered[q]:
                    offered[q] = set_aside[q] or arrives
                    set_aside[q] = False
                elif arrives:
                    set_aside[q] = True
                if moves:
                    registered[q], latched[q] = latched[q], inner
                can[q] = full < room[q] - 1
                level[q] += int(push[q]) - int(inner)
        cycle += 1
    return True
