// Who may read the banks of the activation buffer in this cycle: a word per bank, in the order of the groups.
//
// A group is granted the bank that its word lies in if no group earlier it has taken that bank, or if it was
// taken for the same word, which then goes to both.
module arbiter
  import cgsim_pkg::*;
#(
    parameter int GROUPS = 1,
    parameter int WORD_BITS = 52
) (
    input index_t banks,  // 0: no conflicts
    input logic [GROUPS-1:0] ask,
    input index_t index[GROUPS],  // a word lies in bank (index modulo banks)
    input logic [WORD_BITS-1:0] word[GROUPS],
    output logic [GROUPS-1:0] grant
);
  index_t bank[GROUPS];
  always_comb begin
    grant = ask;
    for (int g = 0; g < GROUPS; g++) bank[g] = '0;
    if (banks != '0) begin
      for (int g = 0; g < GROUPS; g++) begin
        bank[g] = index[g] % banks;
        for (int earlier = 0; earlier < GROUPS; earlier++) begin
          if (earlier < g && grant[earlier] && bank[earlier] == bank[g] && word[earlier] != word[g]) begin
            grant[g] = 1'b0;
          end
        end
      end
    end
  end
endmodule
