"""Types and tools that all subpackages share; imports none of them."""
