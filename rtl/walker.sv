// Which round of folds a column group (or all of them in lockstep) comes to next.
//
// Rounds are ordered by column fold, section (convolution group), part of the reduction, and slice (row fold,
// `os`: row tile). The base phase goes through all of them. The conditional phase goes through the column
// folds and sections that `decisions` has appended to a list: so whatever needs nothing costs no cycle.
// Within a section at most one part may have to be passed over: every vector that the section needs is needed
// in every part but its own, so that a part nobody needs is the own part of all of them.
module walker
  import cgsim_pkg::*;
#(
    parameter int ROWS = 4,
    parameter int GROUPS = 1,
    parameter int NUMBER = 0,  // of this column group
    parameter bit OUTPUT = 1'b0,  // `os`
    parameter int ITEMS = 1024,
    parameter int PARTS = 256
) (
    input logic clk,
    input logic reset,
    input config_t cfg,
    input host_t host,
    input logic append,
    input fold_t append_fold,
    input fold_t append_section,
    input logic late,  // the conditional phase
    input logic begin_late,  // its first cycle
    input logic advance,  // the round is taken: go on to the one after it
    output index_t total_address[3],
    output index_t own_address[3],
    input index_t total[3],
    input index_t own[3],
    // Whether this group takes part in the next round, or in the two that may be instead; and whether any does.
    output logic [2:0] take,
    input logic [2:0] any_take,
    output logic more,  // the group has another slice of the same part
    input logic any_more,
    output logic base_more,  // rounds of the base phase are left
    output logic there_is,  // `next` is there
    output round_t next
);
  localparam int ITEM_BITS = ITEMS == 1 ? 1 : $clog2(ITEMS);
  localparam int PART_BITS = PARTS == 1 ? 1 : $clog2(PARTS);

  part_t parts[PARTS];
  fold_t list_fold[ITEMS], list_section[ITEMS];
  index_t listed;  // length of the list
  fold_t last_fold, last_section;  // its last entry

  typedef struct packed {
    logic exists;
    index_t number;  // in the list
    fold_t fold;
    fold_t section;
    fold_t part;
  } place_t;

  place_t at;
  fold_t slice;

  logic every;
  fold_t parts_of_section;
  assign every = !late || cfg.scanned;
  assign parts_of_section = late ? cfg.late_parts : cfg.base_parts;

  function automatic place_t in_list(index_t number);
    return '{number < listed, number, list_fold[ITEM_BITS'(number)], list_section[ITEM_BITS'(number)], '0};
  endfunction

  function automatic place_t following(place_t place);
    place_t next_place = place;
    if (place.part + 1 < parts_of_section) begin
      next_place.part = place.part + 1;
    end else if (!every) begin
      next_place = in_list(place.number + 1);
    end else begin
      next_place.part = '0;
      next_place.section = place.section + 1 < cfg.sections ? place.section + 1 : '0;
      if (next_place.section == '0) next_place.fold = place.fold + 1;
      next_place.exists = next_place.fold < cfg.folds;
    end
    return next_place;
  endfunction

  // The next part that may have a round, and the two after it.
  place_t place[3];
  fold_t now_slice;
  index_t needed[3];
  always_comb begin
    place[0] = at;
    if (!every) begin
      place[0] = in_list(begin_late ? '0 : at.number);
      place[0].part = begin_late ? '0 : at.part;
    end
    place[1] = following(place[0]);
    place[2] = following(place[1]);
    now_slice = begin_late ? '0 : slice;
    for (int i = 0; i < 3; i++) begin
      total_address[i] = INDEX_BITS'(place[i].fold) * INDEX_BITS'(cfg.sections) + INDEX_BITS'(place[i].section);
      own_address[i]   = total_address[i] * INDEX_BITS'(cfg.base_parts) + INDEX_BITS'(place[i].part);
    end
  end

  always_comb begin
    for (int i = 0; i < 3; i++) begin
      if (cfg.scanned) needed[i] = cfg.needed;
      else if (late) needed[i] = total[i] - (place[i].part < cfg.own_parts ? own[i] : '0);
      else needed[i] = OUTPUT ? cfg.vectors : 1;
      take[i] = place[i].exists && has_slot(place[i].fold) &&
          needed[i] > (OUTPUT && i == 0 ? INDEX_BITS'(now_slice) * INDEX_BITS'(ROWS) : '0);
    end
    base_more = at.exists && at.fold < cfg.folds && (cfg.lockstep || has_slot(at.fold));
  end

  function automatic logic has_slot(fold_t of_fold);
    return of_fold * 16'(GROUPS) + 16'(NUMBER) < cfg.slots;
  endfunction

  place_t chosen;
  index_t chosen_needed;
  logic chosen_take;
  fold_t chosen_slice, slice_after;
  part_t part;
  always_comb begin
    chosen = place[2];
    chosen_needed = needed[2];
    chosen_take = take[2];
    if (any_take[0] || any_take[1]) begin
      chosen = any_take[0] ? place[0] : place[1];
      chosen_needed = any_take[0] ? needed[0] : needed[1];
      chosen_take = any_take[0] ? take[0] : take[1];
    end
    chosen_slice = any_take[0] ? now_slice : '0;
    part = parts[PART_BITS'((late ? cfg.late_table : '0) + chosen.section * parts_of_section + chosen.part)];
    slice_after = chosen_slice + 1;
    more = OUTPUT ? chosen_needed > INDEX_BITS'(slice_after) * INDEX_BITS'(ROWS) : slice_after < part.slices;
    there_is = |any_take;
  end

  index_t rows_left;
  always_comb begin
    next = '0;
    next.take = chosen_take;
    next.conditional = late;
    next.scanned = late;
    next.overwrite = (chosen_slice == '0 || OUTPUT) && every;
    next.last_slice = !more;
    next.first_part = chosen.part == '0;
    next.last_part = chosen.part + 1 == parts_of_section;
    next.fold = chosen.fold;
    next.slice = chosen_slice;
    next.entry = part.entry + (OUTPUT ? '0 : chosen_slice);
    next.part = part;
    if (OUTPUT) next.length = late ? cfg.late_steps : cfg.base_steps;
    else next.length = late ? chosen_needed : part.count;
    rows_left = chosen_needed - INDEX_BITS'(chosen_slice) * INDEX_BITS'(ROWS);
    next.rows = rows_left < INDEX_BITS'(ROWS) ? rows_left : INDEX_BITS'(ROWS);
    next.address = INDEX_BITS'(chosen.fold) * cfg.stride;
    next.need = INDEX_BITS'(chosen.fold) * cfg.need_stride;
  end

  place_t then_;
  assign then_ = following(chosen);

  always_ff @(posedge clk) begin
    if (advance) begin
      at <= any_more ? chosen : then_;
      slice <= any_more ? slice_after : '0;
    end else if (begin_late) begin
      at <= place[0];
      slice <= '0;
    end
    // In lockstep several groups may append the same fold and section, in the same cycle or later.
    if (append && !(listed != '0 && last_fold == append_fold && last_section == append_section)) begin
      last_fold <= append_fold;
      last_section <= append_section;
      list_fold[ITEM_BITS'(listed)] <= append_fold;
      list_section[ITEM_BITS'(listed)] <= append_section;
      listed <= listed + 1;
    end
    if (reset) begin
      at <= '{1'b1, '0, '0, '0, '0};
      slice <= '0;
      listed <= '0;
    end
    if (host.valid && host.space == SPACE_PARTS) begin
      case (host.address[2:0])
        0: parts[PART_BITS'(host.address>>3)].entry <= 16'(host.data);
        1: parts[PART_BITS'(host.address>>3)].slices <= 16'(host.data);
        2: parts[PART_BITS'(host.address>>3)].first <= INDEX_BITS'(host.data);
        3: parts[PART_BITS'(host.address>>3)].count <= INDEX_BITS'(host.data);
        4: parts[PART_BITS'(host.address>>3)].skip_from <= INDEX_BITS'(host.data);
        default: parts[PART_BITS'(host.address>>3)].skip <= INDEX_BITS'(host.data);
      endcase
    end
  end

  logic unused;
  assign unused = &{1'b0, cfg, host, total_address[0], own_address[0]};
endmodule
