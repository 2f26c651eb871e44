import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hsi.report.packing import pack, unpack

KINDS = st.sampled_from([np.uint8, np.uint16, ">u2", np.float32])


@given(arrays.arrays(KINDS, arrays.array_shapes(max_dims=3), elements={"allow_nan": False}))
def test_comes_back_little_endian(array):
    text = pack(array)
    assert text.isascii()
    little = array.dtype.newbyteorder("<")
    assert np.array_equal(np.frombuffer(unpack(text), little).reshape(array.shape), array)


def test_takes_row_major_order_whatever_lies_in_memory():
    array = np.arange(6, dtype=np.uint16).reshape(2, 3)
    assert pack(np.asfortranarray(array)) == pack(array)
