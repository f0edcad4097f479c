"""Mathematics only: P1 assembly, constrained systems, conjugate gradients, level sets. Knows no tissue, no electrode."""
