# SPDX-License-Identifier: Apache-2.0
# Nix: nix-build packaging/recipes, in a clone.
# Not run.
{ pkgs ? import <nixpkgs> { } }:

pkgs.stdenv.mkDerivation {
  pname = "nccl-redirect";
  version = pkgs.lib.fileContents ../../VERSION;
  src = pkgs.lib.cleanSource ../..;

  makeFlags = [ "PREFIX=${placeholder "out"}" ];
  enableParallelBuilding = true;
  # The tests fetch NCCLs.
  doCheck = false;

  meta = {
    description = "Decides at run time which NCCL unmodified programs use";
    license = pkgs.lib.licenses.asl20;
    platforms = [ "x86_64-linux" "aarch64-linux" ];
    mainProgram = "nccl-redirect";
  };
}
