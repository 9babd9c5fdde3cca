"""A small numpy Llama whose every decode-step attention is flashdec.

``python -m llama --help`` lists the options; ``ci/demo.sh`` sets everything up and runs it.

The way of a run, one step per module: ``gguf_file`` opens the model, ``hyperparameters`` and
``weights`` read it, ``tokenizer`` turns the prompt into tokens, ``prefill`` fills the paged cache
of ``kv_cache``, ``decoder`` goes on token by token through ``attention`` (flashdec), and ``check``
repeats every decode step with float64 attention.
"""
