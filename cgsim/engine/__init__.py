"""Time: the array, the gate unit, the buffers, the DRAM and the pipeline that joins them."""

from cgsim.engine.compile_cache import use_compile_cache

use_compile_cache()
