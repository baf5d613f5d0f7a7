"""Time: the array, the gate unit, the buffers, the DRAM and the pipeline that joins them."""
