"""The spaces of FP-NAS (Yan et al., 2021): FBNetV2-F, its fine-grained and split-attention forms, and L0 to L2.

One question per file: ``macro`` what a table of rows says, ``blocks`` what a block is made of, ``setting`` what a user
can change, ``assembly`` how a table becomes a space; one file per space; ``zoo`` the published FBNetV2 networks.
"""
