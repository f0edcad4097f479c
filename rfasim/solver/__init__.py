"""Mathematics only: P1 assembly, systems, conjugate gradients, level sets. Knows no tissue and no electrode."""
