"""Samples drawn on the device that trains (``data.device: gpu``), from chips that stay there as uint8.

``plan``     the choices for a batch, drawn on the host
``moves``    from the host to the device
``pixels``   the chips on the device, and the search for squares in them
``cut``      squares of chips, turned and resampled
``roofs``    roofs in other tones and colours
``looks``    colour, contrast, blur, noise, compression, coarser sensors
``labels``   where buildings are near, and where they meet
``bank``     samples painted on the host and used many times
``batches``  all of them together: number of a step → batch

Choices are drawn by NumPy on the host, so that the size of each part of a batch is known without waiting for the device; only noise is
drawn on the device.
"""
