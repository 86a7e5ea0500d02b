package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"coldstream/vault"
)

type repairOptions struct {
	global *globalOptions
	vault  vaultOptions
	accept bool
	yes    bool
}

func newRepairCommand(global *globalOptions, e *env) *cobra.Command {
	o := &repairOptions{global: global}
	cmd := &cobra.Command{
		Use:   "repair --accept-loss [ID...]",
		Short: "Accept losses that cannot be mended, so that new damage stands out",
		Long: `Write down in the vault that damage is known and accepted. Damage is named by its ID, which "verify" prints;
without IDs all that "verify" finds is listed, and accepted after a question or with --yes. Nothing is deleted or
changed, and what is damaged stays damaged. But "verify" counts it apart and ends with 0, backups warn of it no more,
and new damage, also in the same object, stands out. Accept only what the next backup does not fetch again.

Exit codes: 0 done; 1 failed; 2 wrong usage, unknown ID, or no terminal to ask at and no --yes; 10 no vault;
12 wrong or no key.`,
		Example: "  coldstream repair --vault /srv/kafka-vault --accept-loss 3f09ab52c1d0e477",
		RunE:    func(cmd *cobra.Command, args []string) error { return runRepair(cmd.Context(), o, args, e) },
	}
	o.vault.addFlags(cmd, e)
	o.vault.addSpoolFlag(cmd)
	cmd.Flags().BoolVar(&o.accept, "accept-loss", false, "write down that the named losses, or all, are accepted")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	return cmd
}

type repairDocument struct {
	header
	Accepted []problemDocument `json:"accepted"`
}

func runRepair(ctx context.Context, o *repairOptions, ids []string, e *env) error {
	if !o.accept {
		return usagef("damaged packs are mended by the next backup, as far as the cluster still has the records", errors.New("say what to repair: --accept-loss"))
	}
	v, err := o.vault.open(ctx, e)
	if err != nil {
		return err
	}
	report, chosen, err := o.find(ctx, v, ids, e)
	if err != nil {
		return err
	}
	if len(chosen) > 0 && !o.yes {
		if err := o.ask(e, report, chosen); err != nil {
			return err
		}
	}
	if err := v.AcceptLoss(ctx, e.now(), chosen...); err != nil {
		return err
	}
	if isMachineFormat(o.global.output) {
		return writeDocument(e.stdout, o.global.output, repairDocument{header{SchemaVersion: schemaVersion}, problemDocuments(report, chosen)})
	}
	if len(chosen) == 0 {
		return printLines(e.stdout, []string{"nothing to accept: no damage was found"})
	}
	return printLines(e.stdout, []string{"accepted " + losses(len(chosen))})
}

// find verifies the vault, deep where a named loss is not found otherwise.
func (o *repairOptions) find(ctx context.Context, v *vault.Vault, ids []string, e *env) (*vault.VerifyReport, []*vault.DamageError, error) {
	for _, deep := range []bool{false, true} {
		p := newProgress(e, o.global)
		report, err := v.Verify(ctx, vault.VerifyOptions{Deep: deep, Observer: p})
		p.finish()
		if err != nil {
			return nil, nil, err
		}
		if len(ids) == 0 {
			return report, report.Problems, nil
		}
		chosen, missing := chooseLosses(report, ids)
		if missing == "" {
			return report, chosen, nil
		}
		if deep {
			return nil, nil, usagef("see: coldstream verify --deep", fmt.Errorf("no damage has the ID %q", missing))
		}
	}
	return nil, nil, nil
}

// chooseLosses gives the problems that IDs name, and an ID that names none. One that was
// accepted before is fine.
func chooseLosses(report *vault.VerifyReport, ids []string) (chosen []*vault.DamageError, missing string) {
	for _, id := range ids {
		is := func(d *vault.DamageError) bool { return d.ID() == strings.ToLower(id) }
		if at := slices.IndexFunc(report.Problems, is); at >= 0 {
			chosen = append(chosen, report.Problems[at])
		} else if !slices.ContainsFunc(report.Accepted, is) {
			return nil, id
		}
	}
	return chosen, ""
}

func (o *repairOptions) ask(e *env, report *vault.VerifyReport, chosen []*vault.DamageError) error {
	for _, d := range chosen {
		e.note("%s", problemLine(report, d))
	}
	if !e.stdinTerminal {
		return usagef("say --yes, or name losses with --yes", errors.New("there is no terminal to ask at"))
	}
	yes, err := e.ask("accept %s?", losses(len(chosen)))
	if err != nil {
		return err
	}
	if !yes {
		return &failure{code: exitFailed, err: errors.New("nothing was accepted")}
	}
	return nil
}

func losses(n int) string {
	if n == 1 {
		return "1 loss"
	}
	return formatCount(int64(n)) + " losses"
}
